"""Tasks that the tests enqueue."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection, transaction

from django_tasktrack import AsyncResult, allow_join_result, context, goals, shared_task, task
from django_tasktrack.declaration import Task
from django_tasktrack.exceptions import LeaseLost, Reject, SoftTimeLimitExceeded
from django_tasktrack.models import TrackedTask
from tests import ledger
from tests.app import hostile, snippets  # noqa: F401  their tasks belong to this app too
from tests.app.kinds import Color
from tests.app.models import Entry


@shared_task
def add(x: int, y: int) -> int:
    return x + y


@task
def echo(value: Any = None) -> Any:
    return value


@task(serializer="tagged", aliases=("tests.app.tasks.told_of",))
async def tells_of(entry: Entry) -> Any:
    """Gets an instance, which was looked up where the event loop does not wait for it."""
    return {entry.text: (entry, Color.RED)}


@task
def noted(number: int = 0, seconds: float = 0.0) -> int:
    """Says in the ledger that it began and ended."""
    ledger.write("began", number)
    time.sleep(seconds)
    ledger.write("ended", number)
    return number


@task(unique_key=lambda number: f"number {number}" if number else None)
def keyed(number: int) -> int:
    """At most one at a time for each number but 0."""
    return number


@task
def talks(what: str) -> None:
    """Logs as the tasks of projects do."""
    logging.getLogger(__name__).info(what)


@task(max_retries=0)
def fails(message: str = "no") -> None:
    raise ValueError(message)


@task
def waits_for(task_id: str, how: str = "") -> Any:
    """Waits for another task, as none should."""
    result = AsyncResult(task_id)
    if how == "block":
        with allow_join_result():
            return result.get(timeout=1)
    return result.get(timeout=1, disable_sync_subtasks=how != "argument")


@task
def enqueues(count: int) -> None:
    for number in range(count):
        add.delay(number, number)


remembered: list[tuple[Any, BaseException, str]] = []


@task
def remembers(request: Any, exc: BaseException, traceback: str) -> None:
    remembered.append((request, exc, traceback))


#: What the errbacks below were called with.
told: list[tuple[Any, ...]] = []


@task
def told_all(
    request: Any, exc: BaseException, traceback: str, own: str = "", *, note: str = ""
) -> None:
    told.append((request, exc, traceback, own, note))


@task
def told_id(task_id: str, where: str = "", how: str = "") -> None:
    told.append((task_id, where, how))


@task(bind=True)
def told_by_request(self: Task[..., Any], task_id: str) -> None:
    request = self.request
    told.append((request.id, request.parent_id, request.root_id, request.headers))


@task(bind=True, max_retries=0)
def odd_once(self: Task[..., Any], number: int) -> int:
    """Fails until somebody has run it again."""
    if context.require("odd_once").claim.lease < 2:
        raise ValueError("not yet")
    return number


@task(queue="elsewhere")
def elsewhere(value: Any) -> Any:
    return value


@task
def counted(values: list[Any]) -> int:
    return len(values)


@task
def deep(levels: int) -> Any:
    """Lists in each other, so many of them."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@task
def noticed(task_id: str) -> str:
    """An errback of one argument."""
    return task_id


@task
def pair(first: Any, second: Any) -> list[Any]:
    return [first, second]


@task
def on_error(request: Any, exc: BaseException, traceback: str) -> dict[str, Any]:
    """As Celery's documentation writes such a function."""
    return {"id": request.id, "exc": str(exc), "traceback": traceback}


@task(bind=True, max_retries=2, autoretry_for=(ConnectionError,), default_retry_delay=0.05)
def flaky(self: Task[..., Any], good_attempt: int) -> int:
    if self.request.attempt < good_attempt:
        raise ConnectionError(f"attempt {self.request.attempt} of {good_attempt}")
    return self.request.attempt


@task(bind=True, max_retries=2)
def asks_again(self: Task[..., Any], times: int) -> int:
    if self.request.retries < times:
        self.retry(exc=OSError("not yet"), countdown=0.05)
    return self.request.retries


@task(bind=True, max_retries=9, autoretry_for=(ConnectionError,), default_retry_delay=0.05)
def stumbles(self: Task[..., Any], times: int, seconds: float = 0.0) -> int:
    """Says in the ledger that it began; fails so often before it says that it ended."""
    ledger.write("began")
    time.sleep(seconds)
    if self.request.retries < times:
        raise ConnectionError(f"stumbled {self.request.retries + 1} of {times} times")
    ledger.write("ended")
    return times


@task(bind=True)
def counts(self: Task[..., Any], to: int, pause: float = 0.05, quiet: bool = False) -> int:
    """Counts with progress, or quietly, so that it cannot be asked to end."""
    ledger_wanted = ledger.PATH in os.environ
    if ledger_wanted:
        ledger.write("began")
    for number in range(to):
        if not quiet:
            self.progress.set(number + 1, to, f"number {number + 1}")
        time.sleep(pause)
    if ledger_wanted:
        ledger.write("ended")
    return to


@task(bind=True)
def labelled(self: Task[..., Any], in_transaction: bool = False) -> str:
    """Calls its state PROGRESS until somebody has had time to see it."""
    with transaction.atomic() if in_transaction else connection.cursor():
        self.update_state(state="PROGRESS", meta={"current": 3, "total": 10, "note": "x"})
        time.sleep(1.5)
    return "done"


@task
def dies(how: str = "SIGKILL") -> None:
    os.kill(os.getpid(), signal.Signals[how])


@task
def starts_a_process(seconds: int = 60) -> int:
    child = subprocess.Popen(["sleep", str(seconds)])
    ledger.write("grandchild", child.pid)
    time.sleep(seconds)
    return child.pid


@task
def leaves_a_transaction_open() -> None:
    connection.set_autocommit(False)
    connection.cursor().execute("SELECT 1")


@task
def says_autocommit() -> bool:
    return connection.get_autocommit()


@task
def achieves(kind: str, key: str, evidence: Any = None, then_fail: bool = False) -> None:
    with transaction.atomic():
        goals.get(kind, key).achieve(evidence=evidence)
        if then_fail:
            raise ValueError("after achieving")


@task
def enqueues_another(number: int) -> str:
    return str(noted.delay(number))


@task
def returns_a_set() -> set[int]:
    ledger.write("ran")
    return {1}


@task(max_retries=0)
def succeeds_at_last(after: int) -> None:
    """Fails until so many tasks have tried."""
    ledger.write("tried")
    if len(ledger.read(Path(os.environ[ledger.PATH]))) < after:
        raise ValueError("not yet")


@task
def achieves_late(kind: str, key: str) -> None:
    """Survives SIGTERM for a moment, and then tries to achieve a goal that it may no longer."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ledger.write("began")
    time.sleep(1.5)
    try:
        goals.get(kind, key).achieve()
    except LeaseLost:
        ledger.write("refused")
        time.sleep(60)


@task(soft_time_limit=0.5)
def cleans_up(on_time: bool = True) -> str:
    """Is told when its time is over; then it ends, or does not."""
    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        if on_time:
            return "cleaned up"
        time.sleep(30)
    return "slept"


@task(time_limit=1)
def never_ends() -> None:
    """Swallows whatever is raised in it."""
    ledger.write("began")
    while True:
        try:
            time.sleep(0.01)
        except BaseException:  # noqa: BLE001  that is its point
            ledger.write("swallowed")


@task(on_lost="fail")
def at_most_once(seconds: float = 0.0) -> None:
    ledger.write("began")
    time.sleep(seconds)
    ledger.write("ended")


@task
def says_its_process() -> int:
    return os.getpid()


@task
def takes_memory(megabytes: int) -> int:
    return len(bytearray(megabytes * 1024 * 1024)) and os.getpid()


@task(bind=True)
async def sleeps(self: Task[..., Any], seconds: float, report: bool = False) -> float:
    """Waits without a thread."""
    if report:
        self.update_state("WAITING", meta={"seconds": seconds})
    await asyncio.sleep(seconds)
    return seconds


@task
async def reads_the_database() -> int:
    return await TrackedTask.objects.acount()


@task
async def refuses_to_be_cancelled() -> None:
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            ledger.write("refused")


@task
async def holds_the_shared_thread(seconds: float) -> None:
    """Does what is slow in the one thread that all ``async def`` bodies share."""
    ledger.write("began")
    await sync_to_async(time.sleep)(seconds)


@task
async def sleeps_in_a_thread(seconds: float) -> None:
    await asyncio.to_thread(time.sleep, seconds)


@task
def noted_process(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@task(
    max_retries=4,
    autoretry_for=(OSError,),
    retry_backoff=0.25,
    retry_backoff_max=1,
    retry_jitter=True,
)
def always_raises() -> None:
    ledger.write("began")
    raise OSError("never")


@task(
    max_retries=4,
    autoretry_for=(OSError,),
    retry_backoff=0.25,
    retry_backoff_max=1,
    retry_jitter=False,
)
def always_raises_evenly() -> None:
    ledger.write("began")
    raise OSError("never")


@task
def holds_the_lock(seconds: int) -> None:
    """Sleeps in C without giving the interpreter's lock away."""
    ledger.write("began")
    ctypes.PyDLL(None).sleep(seconds)
    ledger.write("ended")


@task
def writes_slowly(seconds: float) -> None:
    """Holds a transaction that has written something."""
    with transaction.atomic():
        Entry.objects.create(text="slow")
        time.sleep(seconds)


@task
def forks_a_copy(seconds: float) -> int:
    """Leaves a process behind that holds all the descriptors of this one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking a process with threads
        pid = os.fork()
    if pid == 0:
        time.sleep(seconds)
        os._exit(0)
    return pid


@task(bind=True)
def forks_a_reporter(self: Task[..., Any]) -> int:
    """Leaves a process behind that goes on reporting as if it were this task."""
    if os.fork() == 0:
        for number in range(200):
            with contextlib.suppress(Exception):
                self.progress.set(number, 200)
            time.sleep(0.01)
        os._exit(0)
    return os.getpid()


@task
def asks_the_terminal() -> str:
    return input("Your name? ")


class _Odd(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("do not look")


@task
def returns_something_odd() -> Any:
    return _Odd(a=1)


@task(bind=True, max_retries=1)
def asks_for_more(self: Task[..., Any]) -> int:
    if self.request.retries < 3:
        self.retry(countdown=0.01, max_retries=5)
    return self.request.attempt


@task
def enqueues_in_a_transaction(number: int, commit: bool) -> str:
    """Says whose id it was given, although its transaction may come to nothing."""
    with transaction.atomic():
        Entry.objects.create(text=str(number))
        given = noted.delay(number).id
        transaction.set_rollback(not commit)
    return given


class Hooked(Task[..., Any]):
    """A class of tasks that says in the ledger what its hooks are told."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        ledger.write("before_start")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        ledger.write("on_success", [retval, TrackedTask.objects.get(pk=task_id).state])

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        ledger.write("on_failure", [str(exc), TrackedTask.objects.get(pk=task_id).state])

    def after_return(  # noqa: PLR0917  as Celery calls it
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        ledger.write("after_return", status)

    def run(self, fail: bool = False) -> str:
        ledger.write("run", self.AsyncResult(self.request.id or "").state)
        if fail:
            raise ValueError("asked to fail")
        return "done"


@task(bind=True)
def is_rejected(self: Task[..., Any], times: int) -> int:
    """Puts itself back so often, by what the ledger says."""
    ledger.write("began")
    if len(ledger.read(Path(os.environ[ledger.PATH]))) <= times:
        raise Reject("no room", requeue=True)
    return self.request.attempt
