"""What both Celery projects have in common."""

from __future__ import annotations

from typing import Any

from celery import Celery

from benchmarks import environment, work

BODIES = {"noop": work.noop, "touch": work.touch}


def make_app(result_backend: str, **settings: Any) -> Any:
    """A Celery app with the bodies as tasks.

    Returns:
        Typed as anything: the package has no types.
    """
    app = Celery(
        environment.PREFIX,
        broker=f"{environment.required(environment.REDIS)}/0",
        backend=result_backend,
    )
    app.conf.update(
        task_default_queue=environment.PREFIX,
        # What its documentation on optimising says for many short tasks.
        worker_prefetch_multiplier=64,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        **settings,
    )
    for name, body in BODIES.items():
        app.task(name=name)(body)
    return app
