"""huey on Redis."""

from __future__ import annotations

from huey import RedisHuey

from benchmarks import environment
from benchmarks.systems.huey_base import HueyClient, declare

huey = RedisHuey(environment.PREFIX, url=f"{environment.required(environment.REDIS)}/2")
noop = declare(huey)


class HueyRedisClient(HueyClient):
    def __init__(self) -> None:
        super().__init__(huey, noop)


CLIENT = HueyRedisClient
