"""M4: the protocol searched through all its states, and old bugs that the search must find."""

from __future__ import annotations

import pytest

from tests.exam.protocol import Rules, search
from tests.exam.report import Figures

LONG = pytest.mark.long


@pytest.mark.case("M4")
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(), id="three workers, one task"),
        pytest.param(Rules(claims=3), id="three claims", marks=LONG),
        pytest.param(Rules(tasks=2, claims=1, reruns=0), id="two tasks", marks=LONG),
    ],
)
def test_no_reachable_state_breaks_an_invariant(rules: Rules, figures: Figures) -> None:
    verdict = search(rules)
    assert verdict.broken is None, f"{verdict.broken}: {verdict.path}"
    figures["states"] = verdict.states
    assert verdict.states > 1000, "the search came nowhere"


BUGS = {
    "no fence": (
        Rules(fence="nothing"),
        "a body that was terminated ends its task",
    ),
    "the attempt as fence": (
        Rules(fence="attempt", worker=False, wishes=()),
        "the write of a claim that was lost is accepted",
    ),
    "the attempt as fence, and a terminated body": (
        Rules(fence="attempt"),
        "a body that was terminated ends its task",
    ),
    "no check of the worker": (
        Rules(worker=False),
        "the write of a claim that was lost is accepted",
    ),
    "rescue of whoever lives": (
        Rules(rescue_asks=False),
        "two living workers run one task",
    ),
    "rescue without a presumed start": (
        Rules(rescue_presumes=False),
        "REVOKED without STARTED, and its body has run",
    ),
    "revoke that overlooks claims": (
        Rules(revoke_asks=False),
        "REVOKED without STARTED, and its body has run",
    ),
    "terminate that leaves the lease": (
        Rules(kill_bumps=False),
        "a body that was terminated ends its task",
    ),
    "a task given back against a wish": (
        Rules(wish_holds=False),
        "a task that somebody wants to end is run again",
    ),
}


@pytest.mark.case("M4")
@pytest.mark.parametrize("bug", BUGS)
def test_an_old_bug_is_found(bug: str) -> None:
    rules, invariant = BUGS[bug]
    verdict = search(rules)
    assert verdict.broken == invariant, verdict
