"""oban: psycopg 3, bodies in the worker's event loop, rows kept."""

from __future__ import annotations

from typing import Any

from oban import Oban, worker
from oban.schema import install
from psycopg_pool import AsyncConnectionPool

from benchmarks import environment, work
from benchmarks.systems import sql
from benchmarks.systems.base import AsyncClient


class _Noop:
    """Its name is in the rows: ``oban start`` imports this module by it."""

    async def process(self, job: Any) -> None:
        await work.anoop(job.args["number"])


Noop: Any = worker(queue="default")(_Noop)


class ObanClient(AsyncClient):
    def __init__(self) -> None:
        super().__init__()
        self._pool: AsyncConnectionPool[Any] | None = None

    async def _oban(self) -> Any:
        if self._pool is None:
            self._pool = AsyncConnectionPool(
                environment.required(environment.POSTGRES), min_size=1, open=False
            )
            await self._pool.open()
            self._instance = Oban(pool=self._pool)
        return self._instance

    def prepare(self) -> None:
        async def tables() -> None:
            await self._oban()
            await install(self._pool)

        self.run(tables())

    async def put(self, number: int, body: str) -> object:
        return await (await self._oban()).enqueue(Noop.new({"number": number}))

    def bulk(self, numbers: list[int], body: str) -> None:
        async def every() -> None:
            oban = await self._oban()
            await oban.enqueue_many([Noop.new({"number": number}) for number in numbers])

        self.run(every())

    def remaining(self) -> int:
        with sql.connect() as connection:
            return sql.number(
                connection,
                "SELECT count(*) FROM oban_jobs"
                " WHERE state IN ('available', 'executing', 'retryable')",
            )

    def fill(self, finished: int, future: int) -> None:
        self.enqueue(0, "noop")
        with sql.connect() as connection:
            later = {"state": "'scheduled'", "scheduled_at": "now() + interval '1 day'"}
            sql.multiply(connection, "oban_jobs", future, later, leave_out=("id",))
            done = {"state": "'completed'", "completed_at": "now()", "attempted_at": "now()"}
            sql.multiply(connection, "oban_jobs", finished, done, leave_out=("id",))
            connection.execute("DELETE FROM oban_jobs WHERE state = 'available'")

    def rest(self) -> None:
        if self._pool is not None:
            self.run(self._pool.close())
            self._pool = None


CLIENT = ObanClient
