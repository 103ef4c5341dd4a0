"""Which queues a worker serves, and how that changes."""

from __future__ import annotations

import pytest

from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.served import Served

ALL = Served()
SOME = Served.of(["mail", "sms", "mail"])
OTHERS = Served.of([], ["slow", "slow"])


@pytest.mark.parametrize(
    ("served", "words", "mail", "slow"),
    [
        (ALL, "all", True, True),
        (SOME, "mail, sms", True, False),
        (OTHERS, "all but slow", True, False),
        (Served.of(["mail", "slow"], ["slow", "other"]), "mail", True, False),
    ],
)
def test_what_is_served(served: Served, words: str, mail: bool, slow: bool) -> None:
    assert str(served) == words
    assert ("mail" in served, "slow" in served) == (mail, slow)


@pytest.mark.parametrize(
    ("before", "after"),
    [(ALL, "all"), (SOME, "mail, sms, slow"), (OTHERS, "all"), (Served(("slow",)), "slow")],
)
def test_adding(before: Served, after: str) -> None:
    assert str(before.adding(["slow"])) == after


@pytest.mark.parametrize(
    ("before", "after"), [(ALL, "all but sms"), (SOME, "mail"), (OTHERS, "all but slow, sms")]
)
def test_dropping(before: Served, after: str) -> None:
    assert str(before.dropping(["sms"])) == after


def test_one_queue_at_least_is_left() -> None:
    """Else it would serve all of them: a list of none means that."""
    with pytest.raises(InvalidTask, match="Of mail, sms without sms, mail no queue is left"):
        SOME.dropping(["sms", "mail"])
    with pytest.raises(InvalidTask, match="no queue is left"):
        Served.of(["mail"], ["mail"])
