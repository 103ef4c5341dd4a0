"""Tasks as Celery's documentation writes them; only the imports are this package's."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal
from typing import Any

from django_tasktrack import Task, shared_task, signals, task
from django_tasktrack.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from tests import ledger


@shared_task
def mul(x: int, y: int) -> int:
    return x * y


@shared_task
def xsum(numbers: list[int]) -> int:
    return sum(numbers)


@shared_task(result_expires=3600)
def kept_for_an_hour() -> int:
    return 1


@shared_task(ignore_result=True)
def quiet() -> str:
    return "secret"


@shared_task
def divide(x: int, y: int) -> float:
    return x / y


@shared_task(bind=True)
def counts(self: Task[..., Any], to: int) -> str:
    for i in range(to):
        self.update_state(state="PROGRESS", meta={"current": i, "total": to})
        time.sleep(0.1)
    return "done"


class LongTask(Task):  # type: ignore[type-arg]
    """A task that is a class."""

    def run(self, seconds: float) -> str:
        self.update_state(state="HALFWAY", meta={"progress": 42.0})
        time.sleep(seconds)
        return "done"


@shared_task(bind=True)
def looks_at_itself(self: Task[..., Any]) -> dict[str, Any]:
    state = self.AsyncResult(self.request.id).state
    return {
        "state": state,
        "id": self.request.id,
        "args": list(self.request.args),
        "kwargs": dict(self.request.kwargs),
        "retries": self.request.retries,
        "hostname": self.request.hostname,
        "root_id": self.request.root_id,
        "parent_id": self.request.parent_id,
        "queue": self.request.delivery_info["routing_key"],
    }


@shared_task(
    bind=True,
    autoretry_for=(ConnectionError,),
    max_retries=3,
    retry_backoff=0.01,
    retry_jitter=False,
)
def send(self: Task[..., Any], good: int) -> int:
    if self.request.retries < good:
        raise ConnectionError("not there")
    return int(self.request.retries)


@shared_task(bind=True, default_retry_delay=0.01, max_retries=2)
def send_twitter_status(self: Task[..., Any], good: int) -> int:
    try:
        if self.request.retries < good:
            raise OSError("over capacity")
    except OSError as exc:
        raise self.retry(exc=exc)  # noqa: B904  as the documentation has it
    return int(self.request.retries)


@shared_task
def ignores() -> None:
    raise Ignore


@shared_task
def rejects() -> None:
    raise Reject("no reason", requeue=False)


@shared_task(soft_time_limit=0.3, time_limit=5)
def cleans_up() -> str:
    try:
        time.sleep(10)
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "never"


@shared_task(time_limit=0.3)
def hangs() -> None:
    time.sleep(30)


class Hooked(Task):  # type: ignore[type-arg]
    """Says what befalls its tasks."""

    abstract = True

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        ledger.write("ended", 1)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        ledger.write("ended", 2)


@task(base=Hooked)
def hooked(fails: bool = False) -> None:
    if fails:
        raise ValueError("as asked")


@shared_task(serializer="tagged")
def tomorrow(day: date, price: Decimal) -> dict[str, Any]:
    return {"day": day, "price": price * 2}


@shared_task(name="proj.tasks.old_name")
def named() -> str:
    return "named"


@signals.task_success.connect(sender=named)
def tell_of_success(sender: Any, result: Any, **kwargs: Any) -> None:
    ledger.write("began", 7)
