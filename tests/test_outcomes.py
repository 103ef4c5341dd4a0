"""What is kept of an exception, whatever it does when it is printed."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_tasktrack import states
from django_tasktrack.outcomes import Error, Report, failed, retry_later, succeeded


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot speak")


class Quits(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NotText(Exception):
    def __str__(self) -> str:
        return 42  # type: ignore[return-value]  # noqa: PLE0307


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  SystemExit is one of them
        return caught


def test_error_names_its_class_message_and_traceback() -> None:
    error = Error.of(raised(ValueError("no such invoice")))
    assert (error.type, error.message) == ("ValueError", "no such invoice")
    assert "ValueError: no such invoice" in error.traceback
    assert "in raised" in error.traceback


def test_class_outside_builtins_is_named_with_its_module() -> None:
    assert Error.of(Speechless()).type == f"{__name__}.Speechless"


@pytest.mark.parametrize("kind", [Speechless, Quits, NotText])
def test_broken_str_does_not_break_the_record(kind: type[Exception]) -> None:
    error = Error.of(raised(kind()))
    assert error.message.startswith("<its __str__ raised ")
    assert kind.__name__ in error.traceback


def test_what_no_database_stores_is_escaped() -> None:
    error = Error.of(raised(ValueError("a\x00b\ud800c")))
    assert error.message == "a\\x00b\\ud800c"
    for text in (error.type, error.message, error.traceback):
        assert "\x00" not in text
        text.encode()


@override_settings(TASKTRACK={"MAX_TRACEBACK": 1000})
def test_long_text_keeps_its_end_and_says_what_was_cut() -> None:
    error = Error.of(raised(ValueError("x" * 5000 + "the cause")))
    assert error.message.endswith("the cause")
    assert "characters cut" in error.message
    assert len(error.message) < 1100
    assert len(error.traceback) < 1100
    assert error.traceback.endswith("the cause\n")


def test_long_class_path_fits_its_column() -> None:
    kind = type("K" * 400, (Exception,), {})
    assert len(Error.of(kind()).type) == 255


def test_cause_is_part_of_the_traceback() -> None:
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    assert "KeyError: 'inner'" in Error.of(error).traceback


def test_deep_chain_of_causes_is_recorded() -> None:
    error: Exception = ValueError("first")
    for number in range(3000):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    assert Error.of(error).message == "2999"


def test_retry_is_never_in_the_past() -> None:
    assert retry_later(ValueError(), -5).delay == 0


def test_outcomes_name_their_transition() -> None:
    assert succeeded("1").transition is states.SUCCEED
    assert failed(ValueError()).transition is states.FAIL


def test_newer_report_wins_where_it_says_something() -> None:
    older = Report(current=1, total=10, message="one")
    assert Report(current=2).over(older) == Report(2, 10, "one")
    assert Report(current=0, message="").over(older) == Report(0, 10, "")
    assert Report(current=2).over(None) == Report(current=2)
