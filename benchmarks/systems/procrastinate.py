"""procrastinate: psycopg 3, bodies in the worker's event loop."""

from __future__ import annotations

from typing import Any

import procrastinate as package
from procrastinate import PsycopgConnector

from benchmarks import environment, work
from benchmarks.systems import sql
from benchmarks.systems.base import Client

app = package.App(connector=PsycopgConnector(conninfo=environment.required(environment.POSTGRES)))
BODIES: dict[str, Any] = {"noop": app.task(name="noop")(work.anoop)}


class ProcrastinateClient(Client):
    def __init__(self) -> None:
        self._opened: Any = None

    def _bodies(self) -> dict[str, Any]:
        if self._opened is None:
            self._opened = app.open()
        return BODIES

    def prepare(self) -> None:
        self._bodies()
        app.schema_manager.apply_schema()

    def enqueue(self, number: int, body: str) -> object:
        return self._bodies()[body].defer(number=number)

    def bulk(self, numbers: list[int], body: str) -> None:
        self._bodies()[body].batch_defer(*({"number": number} for number in numbers))

    def remaining(self) -> int:
        with sql.connect() as connection:
            return sql.number(
                connection,
                "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
                " AND (scheduled_at IS NULL OR scheduled_at <= now())",
            )

    def fill(self, finished: int, future: int) -> None:
        self.enqueue(0, "noop")
        with sql.connect() as connection:
            # Their triggers would write an event for each copy; the tables are what is asked about.
            connection.execute("SET session_replication_role = replica")
            later = {"scheduled_at": "now() + interval '1 day'"}
            sql.multiply(connection, "procrastinate_jobs", future, later, leave_out=("id",))
            done = {"status": "'succeeded'"}
            sql.multiply(connection, "procrastinate_jobs", finished, done, leave_out=("id",))
            connection.execute(
                "DELETE FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at IS NULL"
            )

    def rest(self) -> None:
        if self._opened is not None:
            app.close()
            self._opened = None


CLIENT = ProcrastinateClient
