"""A worker process from its first line to its last: heartbeat, pool, engine, signals."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

from django.db import connections

from . import __version__, limits, registry, signals
from .conf import config
from .engines.database import DatabaseEngine
from .engines.plan import Plan
from .heartbeat import Heartbeat
from .herald import Herald
from .maintenance import Maintenance
from .pools import POOLS, Pool, PoolOptions
from .registration import Identity, Registration
from .served import Served
from .sweeping import Sweeping
from .vendors import Vendor, errors, task_database, vendor_for

logger = logging.getLogger("django_tasktrack.worker")


#: Signals that come closer together than this are one: some send them to a process and to its group.
_SAME_SIGNAL = 0.5
#: As it ends, receivers of its own signals have so many seconds.
_LAST_SIGNALS = 5.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker was started.

    Args:
        name: for people; ``%h`` becomes the host.
        queues: those that it serves; empty for all.
        exclude_queues: those that it leaves out, of all or of ``queues``.
        pool: "prefork", "threads", "solo" or "asyncio".
        concurrency: bodies that run at once; None for one a processor (asyncio: 100).
        least: children that are kept when there is nothing to do; None for all of them.
        time_limit, soft_time_limit: seconds, for tasks that have no limits of their own.
        max_tasks_per_child: tasks after which a child is replaced.
        max_memory_per_child: bytes of memory after which it is.
        burst: end when nothing is due.
    """

    name: str = "worker@%h"
    queues: Sequence[str] = ()
    exclude_queues: Sequence[str] = ()
    pool: str = "prefork"
    concurrency: int | None = None
    least: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    burst: bool = False


class Worker:
    """Runs tasks until it is told to stop.

    The first SIGTERM or SIGINT lets running tasks end, for the grace that the settings give; a second
    one stops them at once and gives them back. While the worker still starts, the first one ends it.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._config = config()
        self._name = options.name.replace("%h", socket.gethostname())
        self._served = Served.of(options.queues, options.exclude_queues)
        self._asked_to_stop_at: float | None = None
        self._exit_code = 0
        self._engine: DatabaseEngine | None = None
        self._herald = Herald(self, self._name)

    @property
    def name(self) -> str:
        """As it was given, with the host in it."""
        return self._name

    #: Celery's word for it.
    hostname = name

    def run(self) -> int:
        """Work; returns the exit code."""
        self._handle_signals()
        signals.worker_init.tell(self)
        # Both fork, and that comes before any thread and connection.
        heartbeat = Heartbeat(task_database(), self._config.HEARTBEAT)
        pool = self._pool()
        vendor = vendor_for(task_database())
        registration = self._registration(vendor, pool, heartbeat)
        maintenance = Maintenance(
            vendor,
            self._config.MAINTENANCE,
            self._config.LEASE,
            self._served.only,
            registry.names(),
            excluded=self._served.excluded,
            herald=self._herald,
            sweeping=Sweeping(vendor, self._config.MAINTENANCE),
        )
        engine = DatabaseEngine(
            vendor, self._plan(), pool, registration, maintenance, herald=self._herald
        )
        pool.start(engine.post)
        registration.register()
        limits.declare(vendor)
        connections.close_all()  # this thread needs no session any more, and one of a pool is one of few
        self._engine = engine  # from here on a signal lets running tasks end
        if self._asked_to_stop_at is not None:
            engine.stop(0.0)
        self._greet(pool)
        self._herald.tell(signals.worker_ready)
        registration.start()
        thread = threading.Thread(
            target=self._work, args=(engine, pool, registration), name="engine", daemon=True
        )
        thread.start()
        pool.serve()
        thread.join()
        connections.close_all()
        return self._exit_code

    def _work(self, engine: DatabaseEngine, pool: Pool, registration: Registration) -> None:
        """The engine's thread: when it ends, for whatever reason, the worker does."""
        try:
            engine.run()
        except BaseException:
            logger.critical("The engine has failed.", exc_info=True)
            self._exit_code = 1
        finally:
            with contextlib.suppress(*errors.TROUBLE):
                registration.stop()
            connections.close_all()
            self._herald.tell(signals.worker_shutdown)
            self._herald.finish(_LAST_SIGNALS)
            logger.info("%s has stopped.", self._name)
            pool.finish()
        if engine.left_bodies_running:  # in threads of this process, which cannot be stopped
            logging.shutdown()
            os._exit(self._exit_code)

    def _pool(self) -> Pool:
        asked = self._options
        pool = POOLS[asked.pool](
            PoolOptions(
                worker=self._name,
                concurrency=asked.concurrency,
                least=asked.least,
                terminate_grace=self._config.TERMINATE_GRACE,
                time_limit=asked.time_limit,
                soft_time_limit=asked.soft_time_limit,
                max_tasks_per_child=asked.max_tasks_per_child,
                max_memory_per_child=asked.max_memory_per_child,
            )
        )
        for refused in pool.refused_options():
            logger.warning("The %s pool cannot do %s; use prefork for it.", pool.name, refused)
        return pool

    def _plan(self) -> Plan:
        return Plan(
            queues=self._served.only,
            excluded=self._served.excluded,
            names=registry.names(),
            burst=self._options.burst,
            poll_min=self._config.POLL_MIN,
            poll_max=self._config.POLL_MAX,
            lease=self._config.LEASE,
            keyed=any(registry.get(name).concurrency for name in registry.names()),
        )

    def _registration(self, vendor: Vendor, pool: Pool, heartbeat: Heartbeat) -> Registration:
        identity = Identity(
            name=self._name,
            pool=pool.name,
            concurrency=pool.concurrency,
            can_terminate=pool.can_terminate,
            queues=self._served.only,
            excluded_queues=self._served.excluded,
            known_tasks=registry.names(),
            version=__version__,
        )
        return Registration(
            vendor,
            identity,
            heartbeat,
            self._config.LEASE,
            on_lost=lambda why: self._engine.lose(why) if self._engine else None,
            on_dead=self._on_dead_heartbeat,
            on_asked_to_end=self._on_asked_to_end,
            on_beat=lambda: self._herald.tell(signals.heartbeat_sent),
            on_wish=lambda wish: self._engine.adapt(wish) if self._engine else None,
        )

    def _on_asked_to_end(self) -> None:
        """As the first SIGTERM, which a later one follows."""
        if self._engine and self._asked_to_stop_at is None:
            self._asked_to_stop_at = time.monotonic()
            logger.warning(
                "Asked to end by manage.py tasktrack shutdown: running tasks have %g s.",
                self._config.GRACE,
            )
            self._engine.stop(self._config.GRACE)

    def _on_dead_heartbeat(self) -> None:
        """Another one cannot be forked from a process with threads; the lease lasts for giving back."""
        logger.critical("The heartbeat's process is gone: running tasks go back, this worker ends.")
        self._exit_code = 1
        if self._engine:
            self._engine.stop(0.0)

    def _greet(self, pool: Pool) -> None:
        logger.info(
            "%s is ready: %s with %d, queues: %s, %d tasks known.",
            self._name,
            pool.name,
            pool.concurrency,
            self._served,
            len(registry.names()),
        )
        for name in registry.names():
            logger.debug("  . %s", name)

    # Signals

    def _handle_signals(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        name = signal.Signals(signum).name
        now, engine = time.monotonic(), self._engine
        if engine is None:
            # Remembered as well: an exception in a hook of fork(), or in a finalizer, is dropped by Python.
            self._asked_to_stop_at = now
            logger.warning("%s before the first task: the worker ends.", name)
            raise SystemExit(0)
        if self._asked_to_stop_at is None:
            self._asked_to_stop_at = now
            self._tell_shutting_down(signum, "Warm")
            logger.warning(
                "%s: running tasks have %g s to end. Once more to stop them at once.",
                name,
                self._config.GRACE,
            )
            engine.stop(self._config.GRACE)
        elif now - self._asked_to_stop_at >= _SAME_SIGNAL:
            self._tell_shutting_down(signum, "Cold")
            logger.error("%s again: running tasks are stopped and given back now.", name)
            engine.stop(0.0)

    def _tell_shutting_down(self, signum: int, how: str) -> None:
        self._herald.tell(
            signals.worker_shutting_down, self._name, sig=signum, how=how, exitcode=self._exit_code
        )
