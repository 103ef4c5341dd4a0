"""``app.control``: what can be asked of tasks and workers. It is written to the table, and answered from there."""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

from .... import limits, transitions
from ....adaptation import Wish, adding, ask_to_change, dropping, resized
from ....exceptions import InvalidTask, Unsupported, nearest
from ....ids import parse_id
from ....models import TrackedTask, Worker
from ....registration import ask_to_end
from ....states import Stage
from ....transitions import Answer
from ....vendors import task_database, vendor_for
from .inspection import TABLE, Inspect, living

#: Verbs that the table has no form for, or that are asked elsewhere: what to do instead.
INSTEAD: Mapping[str, str] = {
    "pool_restart": "Start the worker again.",
    "autoscale": "Start the worker again, with manage.py worker --autoscale.",
    "broadcast": "There are no messages to workers. Use revoke(), shutdown(), ping() and inspect().",
    "revoke_by_stamped_headers": "There are no stamps. Give revoke() a list of ids.",
    "heartbeat": "Workers give signs of life by themselves, every TASKTRACK['HEARTBEAT'] seconds.",
    "election": "There is nothing that workers elect.",
}
#: Stages of tasks that no worker has. Those that wait for others come first: else they are revoked with them, uncounted.
_NOT_TAKEN = (Stage.BLOCKED, Stage.SCHEDULED, Stage.HELD, Stage.DUE, Stage.GATED)
#: Tasks that one transaction of a purge is about.
_BATCH = 500


class Control:
    """The verbs of Celery's ``app.control``.

    ``destination`` are names of workers, one or several; without, all of them are meant. There is nobody to wait for,
    so ``timeout``, ``reply`` and their like are taken and change nothing.
    """

    def inspect(self, destination: Any = None, **without_effect: object) -> Inspect:
        """What workers hold and know: see ``Inspect``."""
        return Inspect(destination)

    def ping(self, destination: Any = None, **without_effect: object) -> list[dict[str, Any]]:
        """``[{name: {"ok": "pong"}}, ...]`` of the workers that live."""
        return [{member.row.name: {"ok": "pong"}} for member in living(destination)]

    def revoke(
        self,
        task_id: UUID | str | Iterable[UUID | str],
        destination: object = None,
        terminate: bool = False,
        signal: str | int = "SIGTERM",
        **without_effect: object,
    ) -> dict[str, Answer]:
        """Stop tasks, in the current transaction: the row says so, and no worker can miss it.

        Args:
            task_id: one id, or several.
            destination: as Celery accepts it: whoever has the task is meant.
            terminate: kill the process that runs it; without, it ends at its next checkpoint.
            signal: which signal to kill with.

        Returns:
            What could be done with each: see ``AsyncResult.revoke``.

        Raises:
            InvalidTask: the signal is none that ends a task.
        """
        given = [task_id] if isinstance(task_id, (str, UUID)) else list(task_id)
        kill_with = _signal_name(signal) if terminate else None
        ids = [found for one in given if (found := parse_id(one))]
        answers = transitions.revoke(ids, signal=kill_with)
        return {str(one): answers.get(parse_id(one), Answer.UNKNOWN) for one in given}  # type: ignore[arg-type]

    def terminate(
        self,
        task_id: UUID | str | Iterable[UUID | str],
        signal: str | int = "SIGTERM",
        **ignored: object,
    ) -> dict[str, Answer]:
        """``revoke(terminate=True)``."""
        return self.revoke(task_id, terminate=True, signal=signal)

    def shutdown(self, destination: Any = None, **without_effect: object) -> list[str]:
        """Ask workers to end in an orderly way; the names of those that were asked."""
        asked_for = living(destination)
        asked = ask_to_end(vendor_for(task_database()), [member.row.pk for member in asked_for])
        return [member.row.name for member in asked_for if member.row.pk in asked]

    def rate_limit(
        self, task_name: str, rate_limit: object, **without_effect: object
    ) -> list[dict[str, Any]]:
        """Let no more tasks of a name start than that, over all workers: see ``limits.set_rate_limit``.

        It is written to the table, so it stays, and ``destination`` changes nothing.
        """
        limits.set_rate_limit(task_name, rate_limit)
        return [{TABLE: {"ok": f"rate limit of {task_name}: {rate_limit or 'none'}"}}]

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        **without_effect: object,
    ) -> list[dict[str, Any]]:
        """Limit the time of the tasks of a name, for all workers: see ``limits.set_time_limit``."""
        limits.set_time_limit(task_name, soft=soft, hard=hard)
        return [{TABLE: {"ok": f"time limits of {task_name}: soft {soft}, hard {hard}"}}]

    def pool_grow(
        self, n: int = 1, destination: Any = None, **without_effect: object
    ) -> list[dict[str, Any]]:
        """Ask workers to run so many more tasks at once; what each of them answers."""
        return _ask(destination, lambda row, before: resized(row, before, before.concurrency + n))

    def pool_shrink(
        self, n: int = 1, destination: Any = None, **without_effect: object
    ) -> list[dict[str, Any]]:
        """Ask workers to run so many fewer tasks at once; what each of them answers."""
        return self.pool_grow(-n, destination)

    def add_consumer(
        self, queue: str, *routing: object, destination: Any = None, **without_effect: object
    ) -> list[dict[str, Any]]:
        """Ask workers to serve a queue as well; what each of them answers."""
        return _ask(destination, lambda _, before: adding(before, [queue]))

    def cancel_consumer(
        self, queue: str, destination: Any = None, **without_effect: object
    ) -> list[dict[str, Any]]:
        """Ask workers to serve a queue no more; what each of them answers."""
        return _ask(destination, lambda row, before: dropping(row, before, [queue]))

    def purge(self, **without_effect: object) -> int:
        """Revoke all tasks that no worker has taken, those of later among them; how many.

        One that a worker takes at the same moment is asked to stop.
        """
        return sum(map(_revoke_all, _NOT_TAKEN))

    discard_all = purge

    def enable_events(self, **without_effect: object) -> None:
        """Nothing has to be done: every change of a state is a row of history."""

    disable_events = enable_events

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name not in INSTEAD:
            known = [*INSTEAD, *(verb for verb in dir(self) if not verb.startswith("_"))]
            raise AttributeError(f"app.control has no {name!r}. Hint: {nearest(name, known)}")

        def refuse(*args: object, **kwargs: object) -> NoReturn:
            raise Unsupported(f"app.control.{name}() cannot be followed here.", hint=INSTEAD[name])

        return refuse


def _ask(destination: Any, decide: Callable[[Worker, Wish], Wish]) -> list[dict[str, Any]]:
    """``[{name: {"ok": what is asked for}}, {name: {"error": why not}}, ...]`` of the workers that live.

    They hear of it with their next sign of life.
    """
    vendor = vendor_for(task_database())
    answers: list[dict[str, Any]] = []
    for member in living(destination):
        try:
            asked = ask_to_change(vendor, member.row.pk, partial(decide, member.row))
        except InvalidTask as error:
            answers.append({member.row.name: {"error": str(error)}})
            continue
        if asked:
            _, wanted = asked
            told = f"{wanted.concurrency} at once, queues: {wanted.served}"
            answers.append({member.row.name: {"ok": told}})
    return answers


def _revoke_all(stage: Stage) -> int:
    """Revoke the tasks of a stage; how many."""
    rows = TrackedTask.objects.using(task_database()).filter(stage=stage)
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    done = 0
    for start in range(0, len(ids), _BATCH):
        answers = transitions.revoke(ids[start : start + _BATCH], reason="purged")
        done += sum(answer is Answer.REVOKED for answer in answers.values())
    return done


def _signal_name(given: str | int) -> str:
    """The name of a signal that was given by name, with or without "SIG", or by number.

    Raises:
        InvalidTask: it is none that ends a task.
    """
    try:
        name = signals.Signals(given).name if isinstance(given, int) else given.upper()
    except ValueError:
        name = str(given)
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in transitions.SIGNALS:
        hint = f"Use one of {', '.join(transitions.SIGNALS)}."
        raise InvalidTask(f"signal={given!r} cannot end a task.", hint=hint)
    return name
