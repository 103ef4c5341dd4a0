"""What can be measured: each system with each arrangement of its workers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import metadata

_PYTHON = sys.executable
_DJANGO = (_PYTHON, "-m", "django")


@dataclass(frozen=True, slots=True)
class Contender:
    """One system with one arrangement of workers.

    Args:
        name: on the command line and in results.
        title: in tables.
        module: in ``benchmarks.systems``.
        distributions: packages that it needs, by their names in the index.
        servers: what it keeps its tasks in: "postgresql", "redis" or "sqlite".
        worker: command of one worker.
        workers: how many of them.
        body: of its tasks.
        django: whether its processes need Django's settings.
        cycle: for the raw driver: tasks a claim, and rows of history a task.
    """

    name: str
    title: str
    module: str
    distributions: tuple[str, ...]
    servers: tuple[str, ...] = ("postgresql",)
    worker: tuple[str, ...] = ()
    workers: int = 1
    body: str = "noop"
    django: bool = False
    cycle: tuple[int, int] | None = None

    @property
    def template(self) -> str:
        """Contenders with the same empty database share its name."""
        return f"{self.module}_{self.servers[-1]}"

    def versions(self) -> dict[str, str]:
        """Of its packages.

        Raises:
            PackageNotFoundError: one of them is not installed.
        """
        return {name: metadata.version(name) for name in self.distributions}


def _tasktrack(name: str, title: str, *pool: str, **more: object) -> Contender:
    contender = Contender(
        name=name,
        title=f"django-tasktrack, {title}",
        module="tasktrack",
        distributions=("django-tasktrack",),
        worker=(*_DJANGO, "worker", "-l", "WARNING", *pool),
        django=True,
    )
    return replace(contender, **more)  # type: ignore[arg-type]


_PREFORK = ("-P", "prefork", "-c", "2")
_TASKTRACK = (
    _tasktrack("tasktrack-solo", "solo", "-P", "solo"),
    _tasktrack("tasktrack-asyncio", "asyncio", "-P", "asyncio", body="anoop"),
    _tasktrack("tasktrack-threads", "threads -c 2", "-P", "threads", "-c", "2"),
    _tasktrack("tasktrack-prefork", "prefork -c 2", *_PREFORK),
    _tasktrack("tasktrack-prefork-2w", "prefork -c 2, 2 workers", *_PREFORK, workers=2),
    _tasktrack("tasktrack-prefork-4w", "prefork -c 2, 4 workers", *_PREFORK, workers=4),
    _tasktrack("tasktrack-sqlite", "prefork -c 2, SQLite", *_PREFORK, servers=("sqlite",)),
    _tasktrack(
        "tasktrack-sqlite-solo", "solo, SQLite", "-P", "solo", servers=("sqlite",)
    ),
)  # fmt: skip


def _raw(name: str, title: str, cycle: tuple[int, int] | None = None, body: str = "") -> Contender:
    return Contender(
        name=name,
        title=f"raw psycopg, {title}",
        module="raw",
        distributions=("psycopg", "django-tasktrack"),
        django=True,
        cycle=cycle,
        body=body or "one statement",
    )


_RAW = (
    _raw("raw-100", "claim 100 + complete 100, 3 history rows", (100, 3)),
    _raw("raw-100-2", "claim 100 + complete 100, 2 history rows", (100, 2)),
    _raw("raw-100-0", "claim 100 + complete 100, no history", (100, 0)),
    _raw("raw-1", "claim 1 + complete 1, no history", (1, 0)),
    _raw("raw-insert", "two INSERTs in a transaction", body="two statements"),
    _raw("raw-insert-1", "both rows by one statement"),
    _raw("raw-unnest", "INSERT ... unnest of both rows"),
)

_DB_WORKER = (*_DJANGO, "db_worker", "--worker-id")
_CELERY_OPTIONS = ("worker", "-c", "2", "-l", "WARNING")
_CELERY = (_PYTHON, "-m", "celery", "-A")
_HUEY = (_PYTHON, "-m", "huey.bin.huey_consumer", "-w", "2", "-k", "process", "-q")
_OBAN = (
    *(_PYTHON, "-m", "oban", "start", "--queues", "default:100", "--log-level", "WARNING"),
    *("--cron-modules", "benchmarks.systems.oban", "--dsn", "{postgres}"),
)

_PEERS = (
    Contender(
        name="django-tasks-db",
        title="django-tasks-db",
        module="django_tasks_db",
        distributions=("django-tasks-db",),
        worker=(*_DB_WORKER, "bench-{number}", "-v", "0"),
        django=True,
    ),
    Contender(
        name="procrastinate",
        title="procrastinate, concurrency 10",
        module="procrastinate",
        distributions=("procrastinate",),
        worker=(
            *(_PYTHON, "-m", "procrastinate", "--app=benchmarks.systems.procrastinate.app"),
            *("--log-level=warning", "worker", "--concurrency=10"),
        ),
    ),
    Contender(
        name="pgqueuer",
        title="pgqueuer, asyncpg, batch 100",
        module="pgqueuer",
        distributions=("pgqueuer", "asyncpg", "uvloop"),
        worker=(_PYTHON, "-m", "benchmarks.systems.pgqueuer"),
    ),
    Contender(
        name="oban",
        title="oban, limit 100",
        module="oban",
        distributions=("oban", "uvloop"),
        worker=_OBAN,
    ),
    Contender(
        name="celery-redis",
        title="Celery, Redis, 2 children",
        module="celery_redis",
        distributions=("celery", "redis"),
        servers=("redis",),
        worker=(*_CELERY, "benchmarks.systems.celery_redis", *_CELERY_OPTIONS),
    ),
    Contender(
        name="celery-django",
        title="Celery, Redis + django-celery-results, 2 children",
        module="celery_django",
        distributions=("celery", "django-celery-results", "redis"),
        servers=("redis", "postgresql"),
        worker=(*_CELERY, "benchmarks.project.celery_app", *_CELERY_OPTIONS),
        django=True,
    ),
    Contender(
        name="huey-redis",
        title="huey, Redis, 2 processes",
        module="huey_redis",
        distributions=("huey", "redis"),
        servers=("redis",),
        worker=(*_HUEY, "benchmarks.systems.huey_redis.huey"),
    ),
    Contender(
        name="huey-sqlite",
        title="huey, SQLite, 2 processes",
        module="huey_sqlite",
        distributions=("huey",),
        servers=("sqlite",),
        worker=(*_HUEY, "benchmarks.systems.huey_sqlite.huey"),
    ),
)


def _two(contender: Contender) -> Contender:
    return replace(
        contender, name=f"{contender.name}-2w", title=f"{contender.title}, 2 workers", workers=2
    )


_BY_NAME = {contender.name: contender for contender in (*_TASKTRACK, *_RAW, *_PEERS)}
CONTENDERS = {
    **_BY_NAME,
    **{two.name: two for two in (_two(_BY_NAME["django-tasks-db"]), _two(_BY_NAME["oban"]))},
}


def with_body(contender: Contender, body: str) -> Contender:
    """The same, with other tasks."""
    return replace(contender, body=body)


def choose(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Those that are wanted, in the order of ``names``.

    Args:
        names: of contenders.
        wanted: names, or what several names begin with, such as "tasktrack"; none: all.
    """
    chosen = tuple(wanted)
    return [name for name in names if not chosen or any(_means(one, name) for one in chosen)]


def _means(wanted: str, name: str) -> bool:
    return name == wanted or (wanted not in CONTENDERS and name.startswith(f"{wanted}-"))
