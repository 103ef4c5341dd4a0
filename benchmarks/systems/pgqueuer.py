"""pgqueuer on asyncpg: finished rows are deleted, no result is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer, Queries, run
from pgqueuer.db import AsyncpgDriver

from benchmarks import environment, work
from benchmarks.systems.base import AsyncClient


@asynccontextmanager
async def main() -> AsyncIterator[Any]:
    """The worker, as ``pgq run`` wants it."""
    connection = await asyncpg.connect(environment.required(environment.POSTGRES))
    worker = PgQueuer.from_asyncpg_connection(connection)
    worker.entrypoint("noop")(_noop)
    try:
        yield worker
    finally:
        await connection.close()


async def _noop(job: Any) -> None:
    await work.anoop(int(job.payload))


class PgqueuerClient(AsyncClient):
    def __init__(self) -> None:
        super().__init__()
        self._connection: Any = None

    async def _queries(self) -> Any:
        if self._connection is None:
            self._connection = await asyncpg.connect(environment.required(environment.POSTGRES))
        return Queries(AsyncpgDriver(self._connection))

    def prepare(self) -> None:
        async def install() -> None:
            await (await self._queries()).install()

        self.run(install())

    async def put(self, number: int, body: str) -> object:
        return await (await self._queries()).enqueue(body, str(number).encode())

    def bulk(self, numbers: list[int], body: str) -> None:
        async def every() -> None:
            payloads = [str(number).encode() for number in numbers]
            queries = await self._queries()
            await queries.enqueue([body] * len(numbers), payloads, [0] * len(numbers))

        self.run(every())

    def remaining(self) -> int:
        async def count() -> int:
            await self._queries()
            return int(await self._connection.fetchval("SELECT count(*) FROM pgqueuer"))

        return self.run(count())

    def rest(self) -> None:
        if self._connection is not None:
            self.run(self._connection.close())
            self._connection = None


CLIENT = PgqueuerClient

if __name__ == "__main__":
    # What ``pgq run`` does, by the package's own function: its command line breaks with current typer.
    uvloop.run(run(main, batch_size=100))
