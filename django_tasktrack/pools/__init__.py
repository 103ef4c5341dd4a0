"""Where bodies run: child processes, threads, the worker's main thread, or an event loop."""

from __future__ import annotations

from .asynchronous import AsyncioPool
from .base import Pool, PoolOptions
from .local import SoloPool, ThreadPool
from .prefork import PreforkPool

POOLS: dict[str, type[Pool]] = {
    pool.name: pool for pool in (PreforkPool, ThreadPool, SoloPool, AsyncioPool)
}

__all__ = ["POOLS", "Pool", "PoolOptions"]
