"""``celery.signals``: this package's own; and those that are never sent here, which say so when connected."""

from __future__ import annotations

import warnings
from typing import Any

from ...signals import (
    Signal,
    after_task_publish,
    before_task_publish,
    heartbeat_sent,
    task_failure,
    task_postrun,
    task_prerun,
    task_received,
    task_retry,
    task_revoked,
    task_success,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)


class NeverSent(Signal):
    """A signal of Celery's that tells of what does not happen here.

    Args:
        name: of the signal.
        why: the remedy.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name)
        self.why = why

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Connect a receiver, and warn that nobody will call it."""
        receiver = args[0] if args else kwargs.get("receiver")
        if receiver is not None:  # else it is a decorator, which comes again with one
            said = f"The signal {self.name} is never sent here. {self.why}"
            warnings.warn(said, UserWarning, stacklevel=2)
        return super().connect(*args, **kwargs)


_LOGGING = "Logging is Django's, by LOGGING: docs/deployment.md."
_WORKER = "Connect to worker_init or worker_ready."
_BEAT = "Every worker runs schedules: connect to worker_ready."
_UNKNOWN = "A worker never takes a task that it does not know."

setup_logging = NeverSent("setup_logging", _LOGGING)
after_setup_logger = NeverSent("after_setup_logger", _LOGGING)
after_setup_task_logger = NeverSent("after_setup_task_logger", _LOGGING)
celeryd_init = NeverSent("celeryd_init", _WORKER)
celeryd_after_setup = NeverSent("celeryd_after_setup", _WORKER)
beat_init = NeverSent("beat_init", _BEAT)
beat_embedded_init = NeverSent("beat_embedded_init", _BEAT)
import_modules = NeverSent("import_modules", "Do it in AppConfig.ready().")
task_unknown = NeverSent("task_unknown", _UNKNOWN)
task_rejected = NeverSent("task_rejected", _UNKNOWN)
task_internal_error = NeverSent("task_internal_error", "Connect to task_failure.")

__all__ = [
    "after_setup_logger",
    "after_setup_task_logger",
    "after_task_publish",
    "beat_embedded_init",
    "beat_init",
    "before_task_publish",
    "celeryd_after_setup",
    "celeryd_init",
    "heartbeat_sent",
    "import_modules",
    "setup_logging",
    "task_failure",
    "task_internal_error",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_rejected",
    "task_retry",
    "task_revoked",
    "task_success",
    "task_unknown",
    "worker_init",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_ready",
    "worker_shutdown",
    "worker_shutting_down",
]
