"""What is told in the process that runs a body: before it, and once its end is committed."""

from __future__ import annotations

import logging
import time
from typing import Any

from . import signals
from .context import Context, running
from .einfo import ExceptionInfo
from .exceptions import Ignore, Reject, Retry
from .outcomes import Outcome
from .registry import Definition
from .states import State

logger = logging.getLogger("django_tasktrack.task")

#: The hook and the signal that tell of an end.
_ENDS = {
    State.SUCCESS: ("on_success", signals.task_success),
    State.FAILURE: ("on_failure", signals.task_failure),
    State.RETRY: ("on_retry", signals.task_retry),
}


def announces(definition: Definition) -> bool:
    """Whether anybody wants to be told that a body begins."""
    return bool(signals.task_prerun.receivers or "before_start" in definition.hooks)


def announce(definition: Definition, context: Context) -> None:
    """Tell that a body begins. What ``before_start`` raises is the body's."""
    task: Any = definition.task
    request = context.request
    signals.task_prerun.tell(
        task, task_id=request.id, task=task, args=request.args, kwargs=request.kwargs
    )
    if "before_start" in definition.hooks:
        task.before_start(request.id, request.args, request.kwargs)


def is_wanted(definition: Definition, state: State) -> bool:
    """Whether anybody wants to be told of an end with this state."""
    if signals.task_postrun.receivers and signals.task_postrun.has_listeners(definition.task):
        return True
    hook, signal = _ENDS.get(state, ("", signals.task_postrun))
    if definition.hooks and (hook in definition.hooks or "after_return" in definition.hooks):
        return True
    return bool(signal.receivers) and signal.has_listeners(definition.task)


class Epilogue:
    """What is to be told of one end, by the process that ran the body.

    Args:
        definition: what ran.
        context: of the attempt, which has ended.
        outcome: how.
        value: what the body has returned.
        error: what was raised instead.
        began: its beginning, on the monotonic clock.
    """

    def __init__(
        self,
        definition: Definition,
        context: Context,
        outcome: Outcome,
        *,
        value: Any,
        error: BaseException | None,
        began: float,
    ) -> None:
        self._definition = definition
        self._context = context
        self._outcome = outcome
        self._value = value
        self._error = error
        self._seconds = time.monotonic() - began

    def tell(self) -> None:
        """Call hooks and receivers, as if inside the ``except`` block that has caught the body's exception.

        To be called once the end is committed, and not at all where it was refused.
        """
        error = self._error
        with running(self._context):
            if error is None:
                self._tell(None)
                return
            trace = error.__traceback__
            try:
                raise error
            except BaseException:  # noqa: BLE001  raised two lines above
                text = self._outcome.error.traceback if self._outcome.error else str(error)
                self._tell(ExceptionInfo(type(error), error, text, trace))
            finally:
                error.__traceback__ = trace

    def _tell(self, einfo: ExceptionInfo | None) -> None:
        request, task = self._context.request, self._definition.task
        state = self._outcome.transition.target
        call = (request.id, request.args, request.kwargs)
        retval = self._value if self._error is None else self._error
        if not self._is_silent():
            self._tell_kind(state, call, einfo)
            self._hook("after_return", state, retval, *call, einfo)
        signals.task_postrun.tell(
            task,
            task_id=request.id,
            task=task,
            args=request.args,
            kwargs=request.kwargs,
            retval=retval,
            state=state,
        )

    def _is_silent(self) -> bool:
        """Whether the body has asked for no more to be made of its end, as Celery understands it."""
        return isinstance(self._error, Ignore) or (
            isinstance(self._error, Reject) and self._error.requeue
        )

    def _tell_kind(self, state: State, call: tuple[Any, ...], einfo: ExceptionInfo | None) -> None:
        task, error = self._definition.task, self._error
        task_id, args, kwargs = call
        if state is State.SUCCESS:
            self._hook("on_success", self._value, *call)
            signals.task_success.tell(task, result=self._value, runtime=self._seconds)
        elif state is State.FAILURE:
            self._hook("on_failure", error, *call, einfo)
            signals.task_failure.tell(
                task,
                task_id=task_id,
                exception=error,
                args=args,
                kwargs=kwargs,
                traceback=einfo and einfo.tb,
                einfo=einfo,
            )
        elif state is State.RETRY:
            reason = error if isinstance(error, Retry) else self._retry()
            self._hook("on_retry", reason.exc or reason, *call, einfo)
            signals.task_retry.tell(task, request=self._context.request, reason=reason, einfo=einfo)

    def _retry(self) -> Retry:
        """The retry that nobody has asked for, as if somebody had; or that was asked for and not raised."""
        if self._error is None and self._context.asked:
            return self._context.asked
        cause = self._error if isinstance(self._error, Exception) else None
        return Retry(str(self._error), exc=cause, delay=self._outcome.delay)

    def _hook(self, name: str, *args: Any) -> None:
        if name not in self._definition.hooks:
            return
        try:
            getattr(self._definition.task, name)(*args)
        except BaseException:
            claim = self._context.claim
            logger.exception("%s[%s]: %s() has raised.", claim.name, claim.task_id, name)
