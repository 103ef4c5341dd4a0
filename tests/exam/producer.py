"""A process that enqueues: ``python -m tests.exam.producer COUNT [TASK]``.

Prints an id for each commit that returned: whoever reads them has them outside of the database, as the bodies'
ledger is, and no producer is killed here whose last one could be torn.
"""

from __future__ import annotations

import sys

import django
from django.utils.module_loading import import_string


def main(count: int, task: str = "tests.app.tasks.noted") -> None:
    django.setup()
    declared = import_string(task)  # needs the apps
    for number in range(count):
        print(declared.delay(number).id, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
