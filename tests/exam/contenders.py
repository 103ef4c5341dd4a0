"""Processes that want one unique key: ``python -m tests.exam.contenders PROCESSES CALLS KEY``.

Each prints the id that every call was answered with. Each call is made in a transaction that goes on
afterwards, so that one which its loser could not use any more would be seen. A transaction that the
database breaks off is tried again, and says "again" on stderr.
"""

from __future__ import annotations

import os
import sys

import django


def main(processes: int, calls: int, key: str) -> int:
    django.setup()
    children = [_fork(calls, key) for _ in range(processes)]
    codes = [os.waitpid(child, 0)[1] for child in children]
    return int(any(codes))


def _fork(calls: int, key: str) -> int:
    child = os.fork()  # before any connection
    if child == 0:
        code = 1
        try:
            _contend(calls, key)
            code = 0
        except Exception:  # noqa: BLE001  shown, and told by the exit code
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(code)
    return child


def _contend(calls: int, key: str) -> None:
    from django.db import DatabaseError  # these need the apps

    from django_tasktrack.vendors import errors

    answers: list[str] = []
    while len(answers) < calls:
        try:
            answers.append(_call(key))
        except DatabaseError as error:
            if not errors.passes_by_itself(error):
                raise
            os.write(2, b"again\n")
    os.write(1, "".join(f"{answer}\n" for answer in answers).encode())


def _call(key: str) -> str:
    from django.db import transaction

    from django_tasktrack.models import TrackedTask
    from tests.app import tasks

    with transaction.atomic():
        result = tasks.noted.apply_async(unique_key=key)
        TrackedTask.objects.filter(pk=result.id).exists()
    return result.id


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
