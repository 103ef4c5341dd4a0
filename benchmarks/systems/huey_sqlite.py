"""huey on an SQLite file, with its own defaults: WAL, and synchronous as SQLite is built, which is FULL."""

from __future__ import annotations

from huey import SqliteHuey

from benchmarks import environment
from benchmarks.systems.huey_base import HueyClient, declare

huey = SqliteHuey(environment.PREFIX, filename=environment.required(environment.SQLITE))
noop = declare(huey)


class HueySqliteClient(HueyClient):
    def __init__(self) -> None:
        super().__init__(huey, noop)


CLIENT = HueySqliteClient
