"""One measurement's surroundings: an empty store, the producer that enqueues, and workers."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import environment, marks, processes, servers
from benchmarks.catalogue import Contender
from benchmarks.failure import Failed, NotRun

ROOT = Path(__file__).resolve().parent.parent
#: How often marks are counted, and the store asked whether all have finished.
POLL = 0.02
#: Seconds without any progress after which a system hangs.
PATIENCE = 60.0


class Producer:
    """The process that enqueues (``benchmarks.producer``)."""

    def __init__(self, process: processes.Started) -> None:
        self._process = process
        assert process.process.stdin  # noqa: S101  it was started with pipes
        assert process.process.stdout  # noqa: S101
        self._in, self._out = process.process.stdin, process.process.stdout

    def ask(self, verb: str, *, timeout: float = 300.0, **arguments: Any) -> Any:
        """The answer.

        Raises:
            Failed: the system raised an error, or does not answer in time.
        """
        try:
            self._in.write(json.dumps({"verb": verb, "with": arguments}).encode() + b"\n")
            self._in.flush()
        except BrokenPipeError:
            raise Failed(f"it ended: {self._process.last_words()}") from None
        if not select.select([self._out], [], [], timeout)[0]:
            raise Failed(f"{verb} has no answer after {timeout:g} s")
        line = self._out.readline()
        if not line:
            raise Failed(f"it ended: {self._process.last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"].splitlines()[0][:300])
        return answer["answer"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A contender with an empty store, ready to be measured.

    Args:
        contender: what is measured.
        producer: enqueues, and asks the store.
        environment: of its processes.
        directory: for its files.
        database: name of its database on PostgreSQL, as ``servers.Postgres`` takes it.
    """

    contender: Contender
    producer: Producer
    environment: dict[str, str]
    directory: Path
    database: str

    @property
    def marks(self) -> Path:
        return self.directory / "marks"

    def put(self, count: int, first: int = 0, *, bulk: bool = True) -> float:
        """Enqueue so many of the contender's tasks; returns the seconds that it took."""
        seconds = self.producer.ask(
            "put", first=first, count=count, body=self.contender.body, bulk=bulk
        )
        return float(seconds)

    @contextmanager
    def workers(self) -> Iterator[list[processes.Started]]:
        """The contender's workers, which end with the block."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    processes.started(
                        [
                            word.format(
                                postgres=self.environment.get(environment.POSTGRES, ""),
                                number=number,
                            )
                            for word in self.contender.worker
                        ],
                        self.environment,
                        self.directory / f"worker-{number}.log",
                    )
                )
                for number in range(self.contender.workers)
            ]

    def wait_for_bodies(self, count: int, workers: list[processes.Started]) -> None:
        """Return once so many bodies have run.

        Raises:
            Failed: a worker ended, or nothing happens any more.
        """
        self._wait(lambda: count - marks.count(self.marks), workers, "bodies have not run")

    def wait_for_store(self, workers: list[processes.Started]) -> float:
        """The time at which the store says that all tasks have finished.

        Raises:
            Failed: it never does.
        """
        self._wait(lambda: int(self.producer.ask("remaining")), workers, "tasks have not finished")
        return time.monotonic()

    def _wait(self, left: Callable[[], int], workers: list[processes.Started], what: str) -> None:
        least, since = left(), time.monotonic()
        while (now := left()) > 0:
            if now < least:
                least, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                said = "; ".join(worker.last_words() for worker in workers)
                raise Failed(f"{now} {what}, and nothing moved for {PATIENCE:g} s: {said}")
            for worker in workers:
                worker.check()
            time.sleep(POLL)


class Bench:
    """Servers, a directory, and empty databases to copy.

    Args:
        directory: of the run.
        postgres, redis: the servers, or why there are none.
    """

    def __init__(
        self,
        directory: Path,
        postgres: servers.Postgres | NotRun,
        redis: servers.Redis | NotRun,
    ) -> None:
        self.directory = directory
        self.postgres = postgres
        self.redis = redis
        self._package: Path | None = None
        self._templates: set[str] = set()

    @property
    def server(self) -> servers.Postgres:
        """PostgreSQL.

        Raises:
            NotRun: there is none.
        """
        if isinstance(self.postgres, NotRun):
            raise self.postgres
        return self.postgres

    def check(self, contender: Contender) -> None:
        """Raise NotRun where a server or a package is missing."""
        needs = {"postgresql": self.postgres, "redis": self.redis}
        for name in contender.servers:
            if isinstance(missing := needs.get(name), NotRun):
                raise missing
        try:
            contender.versions()
        except PackageNotFoundError as error:
            raise NotRun(f"the package {error.name} is not installed") from None

    @contextmanager
    def stage(self, contender: Contender, fill: tuple[int, int] | None = None) -> Iterator[Stage]:
        """A contender with a store of its own, which is deleted afterwards.

        Args:
            contender: whose it is.
            fill: finished and future tasks that the store holds already.
        """
        template = self._template(contender, fill)
        database = f"{contender.template}_run"
        directory = self._fresh_directory("run")
        if "postgresql" in contender.servers:
            self.server.create(database, template)
        if "sqlite" in contender.servers:
            shutil.copytree(self.directory / template / "sqlite", directory / "sqlite")
        try:
            with self._producer(contender, database, directory) as stage:
                yield stage
        finally:
            if "postgresql" in contender.servers:
                self.server.drop(database)
            shutil.rmtree(directory, ignore_errors=True)

    @contextmanager
    def using(self, package: Path) -> Iterator[None]:
        """Take ``django_tasktrack`` from elsewhere within the block."""
        usual, self._package = self._package, package
        try:
            yield
        finally:
            self._package = usual

    def _template(self, contender: Contender, fill: tuple[int, int] | None) -> str:
        """The name of a prepared store, made when it is first asked for."""
        name = contender.template + ("_full" if fill else "")
        if self._package:  # tables of different revisions differ
            name = f"{self._package.name}_{name}"
        if name in self._templates:
            return name
        directory = self._fresh_directory(name)
        (directory / "sqlite").mkdir()
        if "postgresql" in contender.servers:
            self.server.create(name)
        with self._producer(contender, name, directory) as stage:
            stage.producer.ask("prepare")
            if fill:
                finished, future = fill
                stage.producer.ask("fill", timeout=1800, finished=finished, future=future)
            stage.producer.ask("rest")
        if fill:
            self._vacuum(name)
        self._templates.add(name)
        return name

    def _vacuum(self, database: str) -> None:
        """As autovacuum would have done long since, in a table that has grown in time."""
        with psycopg.connect(self.server.url(database), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def _fresh_directory(self, name: str) -> Path:
        directory = self.directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory

    @contextmanager
    def _producer(self, contender: Contender, database: str, directory: Path) -> Iterator[Stage]:
        told = self._environment(contender, database, directory)
        if "redis" in contender.servers and isinstance(self.redis, servers.Redis):
            self.redis.clear()
        command = [sys.executable, "-m", "benchmarks.producer", contender.module]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with processes.started(command, told, directory / "producer.log", **pipes) as process:
            yield Stage(contender, Producer(process), told, directory, database)
            assert process.process.stdin  # noqa: S101  it was started with pipes
            process.process.stdin.close()

    def _environment(self, contender: Contender, database: str, directory: Path) -> dict[str, str]:
        told = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DJANGO_SETTINGS_MODULE", "PYTHONPATH"}
        }
        # In this order: the package of another revision goes before this checkout's.
        paths = [*([str(self._package)] if self._package else []), str(ROOT)]
        told["PYTHONPATH"] = os.pathsep.join(paths)
        told[environment.SYSTEM] = contender.module
        told[environment.MARKS] = str(directory / "marks")
        if contender.django:
            told["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
        if "postgresql" in contender.servers:
            told[environment.POSTGRES] = self.server.url(database)
        if "sqlite" in contender.servers:
            told[environment.SQLITE] = str(directory / "sqlite" / "tasks.sqlite3")
        if isinstance(self.redis, servers.Redis):
            told[environment.REDIS] = self.redis.url
        return told
