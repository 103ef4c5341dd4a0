"""An application object as Celery's documentation uses it; only the imports are this package's.

Workers know it where their settings include it.
"""

from __future__ import annotations

import time
from typing import Any

from django_tasktrack.compat.celery import Celery, Task, current_task, shared_task
from django_tasktrack.compat.celery.utils.log import get_task_logger

app = Celery("tasks")
logger = get_task_logger(__name__)


@app.task
def add(x: int, y: int) -> int:
    logger.info("Adding %s + %s", x, y)
    return x + y


@app.task(bind=True, ignore_result=True, shared=False, typing=True)
def debug_task(self: Any) -> str:
    return f"Request: {self.request!r}"


@shared_task(bind=True)
def which(self: Any) -> list[Any]:
    return [self.app.main, current_task.name, app.current_task.name]


class LongTask(app.Task):  # type: ignore[misc, name-defined]
    def run(self, seconds: float) -> str:
        self.update_state(state="PROGRESS", meta={"progress": 42.0})
        time.sleep(seconds)
        return "done"


app.register_task(LongTask())


class Counting(Task):
    abstract = True
    calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return super().__call__(*args, **kwargs)


@app.task(base=Counting, bind=True, name="tasks.counted")
def counted(self: Any) -> int:
    return int(self.calls)
