"""The options of ``@task``, checked where the task is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Literal, Self

from . import checked, rates, retention, task_annotations
from .conf import at_declaration
from .exceptions import InvalidTask
from .retries import RetryPolicy
from .setting_values import CHOICES

#: Where None says something of its own.
UNSET: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What ``@task`` was given; see there."""

    name: str | None = None
    aliases: Sequence[str] = ()
    bind: bool = False
    queue: str | None = None
    priority: int | None = None
    max_retries: int | None = UNSET
    default_retry_delay: float | timedelta | None = None
    autoretry_for: Sequence[type[BaseException]] = ()
    dont_autoretry_for: Sequence[type[BaseException]] = ()
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    track_started: bool = True
    time_limit: float | timedelta | None = None
    soft_time_limit: float | timedelta | None = None
    on_lost: Literal["retry", "fail"] = "retry"
    unique_key: str | Callable[..., str | None] | None = None
    schedule: Any = None
    serializer: Literal["json", "tagged"] | None = None
    ignore_result: bool | None = None
    store_errors_even_if_ignored: bool | None = None
    rate_limit: str | float | None = None
    concurrency: tuple[str | Callable[..., str | None], int] | None = None
    base: type | None = None
    retry_kwargs: Mapping[str, Any] | None = None
    throws: Sequence[type[BaseException]] = ()
    acks_late: bool | None = None
    reject_on_worker_lost: bool | None = None
    result_expires: float | timedelta | None = UNSET
    retention: float | timedelta | None = UNSET
    failure_retention: float | timedelta | None = UNSET
    revoked_retention: float | timedelta | None = UNSET

    def __post_init__(self) -> None:
        if self.on_lost not in ("retry", "fail"):
            raise InvalidTask(f"on_lost={self.on_lost!r} is neither 'retry' nor 'fail'.")
        if self.serializer not in (None, *CHOICES["SERIALIZER"]):
            raise InvalidTask(
                f"serializer={self.serializer!r} is neither 'json' nor 'tagged'.",
                hint="docs/payloads.md says what each of them carries.",
            )
        self.rate()

    def annotated(self, name: str) -> Self:
        """These options, with what ``TASKTRACK["TASK_ANNOTATIONS"]`` says of the task instead.

        Raises:
            InvalidTask: it gives an option a value that it cannot have.
        """
        found = task_annotations.of_task(at_declaration().TASK_ANNOTATIONS, name)
        return replace(self, **found) if found else self

    def other_names(self) -> tuple[str, ...]:
        """Names that the task had before.

        Raises:
            InvalidTask: one of them can be none.
        """
        if isinstance(self.aliases, str):
            raise InvalidTask(
                f"aliases={self.aliases!r} is one name.", hint=f"Write ({self.aliases!r},)."
            )
        return tuple(map(checked.task_name, self.aliases))

    @property
    def rerun_if_lost(self) -> bool:
        """Whether it runs again when its worker died: as ``on_lost`` says, or Celery's words for it.

        Raises:
            InvalidTask: they say different things.
        """
        said = {
            "retry": bool(self.acks_late or self.reject_on_worker_lost),
            # Celery takes the message away before the body runs, so that nobody runs it again.
            "fail": self.acks_late is False or self.on_lost == "fail",
        }
        if all(said.values()):
            raise InvalidTask(
                f"on_lost={self.on_lost!r}, acks_late={self.acks_late!r} and"
                f" reject_on_worker_lost={self.reject_on_worker_lost!r} contradict each other.",
                hint="Give on_lost alone: 'retry' is at least once, 'fail' at most once.",
            )
        return not said["fail"]

    def keeps(self) -> dict[str, float | None]:
        """How long what is left of it is kept, as far as the task says so itself; see ``retention``.

        Raises:
            InvalidTask: a time that cannot be, or two that contradict each other.
        """
        given = {word: getattr(self, word) for word in retention.WORDS}
        said = {word: time for word, time in given.items() if time is not UNSET}
        return retention.of_options(said)

    def thrown(self) -> tuple[type[BaseException], ...]:
        """Exceptions that are expected of the task."""
        return _classes(self.throws, "throws")

    def key_of_call(self) -> Callable[..., str | None] | None:
        """What makes the unique key of a call from its arguments; None where calls have none.

        Raises:
            InvalidTask: ``unique_key`` is neither a text nor a function.
        """
        given = self.unique_key
        if given is None or callable(given):
            return given
        key = checked.word(given, "unique_key", 255)
        return lambda *_args, **_kwargs: key

    def rate(self) -> str | None:
        """Its rate, empty for no limit; None where nothing was said.

        Raises:
            InvalidTask: ``rate_limit`` is no rate.
        """
        return None if self.rate_limit is None else rates.rate(self.rate_limit)

    def limit_of_calls(self) -> tuple[str | Callable[..., str | None], int] | None:
        """The concurrency key of calls, or what makes it, and how many of it run at once.

        Raises:
            InvalidTask: ``concurrency`` is no such pair.
        """
        return None if self.concurrency is None else checked.concurrency(self.concurrency)

    def retry_policy(self) -> RetryPolicy:
        """When a failed attempt runs again, with the settings where nothing was said.

        Raises:
            InvalidTask: an option has a value that it cannot have.
        """
        given = self.retry_kwargs or {}
        checked.option_names(given, _RETRY_KWARGS, _RETRY_KWARGS, "retry_kwargs")
        countdown = given.get("countdown")
        return RetryPolicy(
            max_retries=self._max_retries(),
            delay=self._delay(),
            backoff=self._backoff(),
            backoff_max=_pause(self.retry_backoff_max, "retry_backoff_max"),
            jitter=self.retry_jitter,
            only_for=_classes(self.autoretry_for, "autoretry_for"),
            never_for=_classes(self.dont_autoretry_for, "dont_autoretry_for"),
            unasked_delay=None if countdown is None else _pause(countdown, "retry_kwargs"),
            unasked_limit=_limit(given.get("max_retries"), "retry_kwargs"),
        )

    def _max_retries(self) -> int | None:
        if self.max_retries is UNSET:
            return at_declaration().DEFAULT_MAX_RETRIES
        return _limit(self.max_retries, "max_retries")

    def _delay(self) -> float:
        if self.default_retry_delay is None:
            return at_declaration().DEFAULT_RETRY_DELAY
        return _pause(self.default_retry_delay, "default_retry_delay")

    def _backoff(self) -> float:
        if isinstance(self.retry_backoff, bool):
            return float(self.retry_backoff)
        return _pause(self.retry_backoff, "retry_backoff")


_RETRY_KWARGS = ("countdown", "max_retries")
OPTION_NAMES = tuple(field.name for field in fields(TaskOptions))


def _limit(value: object, what: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise InvalidTask(f"{what}: max_retries={value!r} is no whole number from 0.", hint="Or None.")


def _pause(value: object, what: str) -> float:
    pause = checked.seconds(value, what)
    if pause < 0:
        raise InvalidTask(f"{what}={value!r} is negative.", hint="Pass seconds from 0.")
    return pause


def _classes(values: object, what: str) -> tuple[type[BaseException], ...]:
    if isinstance(values, (list, tuple, set, frozenset)) and all(map(_is_exception, values)):
        return tuple(values)
    raise InvalidTask(
        f"{what}={values!r} is no tuple of exception classes.", hint="Write (ValueError, OSError)."
    )


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)
