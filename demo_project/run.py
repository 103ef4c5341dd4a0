"""What ``make demo`` and ``make serve`` do: ``python -m demo_project.run demo|serve``."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType

import django
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DatabaseError, connection
from django.utils import timezone

from .background import Background, Failed, manage

_WORKER = ("worker", "-c", "2", "-l", "info")


def demo() -> None:
    """Runs the demo on a database of its own, with a worker beside it."""
    began = time.monotonic()
    _start_afresh()
    _migrate()
    with Background("worker", *_WORKER) as worker:
        _say("worker", f"process {worker.pid}, log in {worker.log.name}")
        _beside([worker], manage("demo", "--fresh"))
    print(f"Done in {time.monotonic() - began:.0f} s; the worker has stopped. Go on with:\n")
    print("  make serve   the admin and the API for what was just done, and a worker for more")
    print("  make test    the suite, on SQLite and on PostgreSQL")


def serve() -> None:
    """Runs a worker and the web server until Ctrl-C."""
    _migrate()
    address = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
    password = _admin()
    with Background("worker", *_WORKER) as worker:
        _say("worker", f"process {worker.pid}, log in {worker.log.name}")
        _say("admin", f"http://{address}/admin/   login: admin / {password}")
        _say("API", f"http://{address}/api/tasktrack/v1/tasks/   once logged in there")
        _say("jobs", f"to watch: {os.path.relpath(sys.executable)} manage.py demo --fresh")
        _say("stop", "with Ctrl-C\n")
        os.environ["DJANGO_RUNSERVER_HIDE_WARNING"] = "true"  # here it is what was asked for
        _beside([worker], manage("runserver", address, "--noreload", "--skip-checks"))


def _start_afresh() -> None:
    """Remove the SQLite file of an earlier demo, unless a worker is using it."""
    file = Path(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or not file.exists():
        return
    if pid := _living_worker():
        raise Failed(f"A worker (process {pid}) uses {file}. End make serve first.")
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _living_worker() -> int | None:
    from django_tasktrack.models import Worker  # the apps have to be loaded

    recently = timezone.now() - timedelta(minutes=1)  # its number may be another process's since
    try:
        alive = Worker.objects.alive().filter(heartbeat_at__gt=recently)
        pids = list(alive.values_list("pid", flat=True))
    except DatabaseError:  # a file of another version, or none of ours
        return None
    return next((pid for pid in pids if _exists(pid)), None)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _migrate() -> None:
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise Failed(
            "The database cannot be used. DATABASE_URL names it; on a server it has to exist"
            f" (CREATE DATABASE).\n{error}"
        ) from error
    name = (
        os.path.relpath(connection.settings_dict["NAME"])
        if connection.vendor == "sqlite"
        else connection.settings_dict["NAME"]
    )
    _say("database", f"{connection.display_name}, {name}")
    try:
        call_command("migrate", verbosity=0, skip_checks=False)
    except SystemCheckError as error:
        raise Failed(str(error)) from error
    connection.close()


def _admin() -> str:
    """Make the demo's administrator; returns a new password, which nobody else knows."""
    from django.contrib.auth.models import User  # the apps have to be loaded

    password = secrets.token_urlsafe(9)
    user, _ = User.objects.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    connection.close()
    return password


def _beside(others: list[Background], command: list[str]) -> None:
    """Run a command in the foreground for as long as the others live.

    Raises:
        Failed: it, or one of the others, ended otherwise than it should.
    """
    with subprocess.Popen(command) as process:
        try:
            while process.poll() is None:
                for other in others:
                    other.check()
                time.sleep(0.2)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise Failed(f"manage.py {command[2]} ended with code {process.returncode}.", others)


def _say(what: str, text: str) -> None:
    print(f"  {what:<9} {text}", flush=True)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _main(commands: dict[str, Callable[[], None]]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")
    # Whoever ends this process ends the worker too: the blocks that hold it are left in order.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    django.setup()
    try:
        commands[sys.argv[1]]()
    except Failed as failure:
        print(f"\n{failure.told()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
        return 0 if sys.argv[1] == "serve" else 130  # the way to end it
    return 0


if __name__ == "__main__":
    sys.exit(_main({"demo": demo, "serve": serve}))
