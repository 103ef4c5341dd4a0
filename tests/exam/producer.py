"""A process that enqueues: ``python -m tests.exam.producer COUNT``. Prints an id for each commit that returned."""

from __future__ import annotations

import sys

import django


def main(count: int) -> None:
    django.setup()
    from tests.app import tasks  # needs the apps

    for number in range(count):
        print(tasks.noted.delay(number).id, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
