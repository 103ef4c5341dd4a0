"""The table of states: every state against every transition."""

from __future__ import annotations

from itertools import product

import pytest

from django_tasktrack import states
from django_tasktrack.states import (
    FINAL,
    TRANSITIONS,
    UNFINISHED,
    WAITING,
    Stage,
    State,
    Transition,
    is_legal,
)

# What history may show, written down a second time on purpose.
LEGAL: set[tuple[State | None, State]] = {
    (None, State.PENDING),
    (State.PENDING, State.STARTED),
    (State.PENDING, State.REVOKED),
    (State.RETRY, State.STARTED),
    (State.RETRY, State.REVOKED),
    (State.STARTED, State.STARTED),
    (State.STARTED, State.PENDING),
    (State.STARTED, State.RETRY),
    (State.STARTED, State.SUCCESS),
    (State.STARTED, State.FAILURE),
    (State.STARTED, State.REVOKED),
    (State.FAILURE, State.PENDING),
    (State.REVOKED, State.PENDING),
}

STAGES = {  # by transition: without a delay, with none to wait, with one
    "enqueue": (Stage.DUE, Stage.DUE, Stage.SCHEDULED),
    "start": (Stage.CLAIMED, Stage.CLAIMED, Stage.CLAIMED),
    "relabel": (Stage.CLAIMED, Stage.CLAIMED, Stage.CLAIMED),
    "succeed": (Stage.DONE, Stage.DONE, Stage.DONE),
    "fail": (Stage.DONE, Stage.DONE, Stage.DONE),
    "retry": (Stage.DUE, Stage.DUE, Stage.SCHEDULED),
    "release": (Stage.DUE, Stage.DUE, Stage.SCHEDULED),
    "revoke": (Stage.DONE, Stage.DONE, Stage.DONE),
    "stop": (Stage.DONE, Stage.DONE, Stage.DONE),
    "expire": (Stage.DONE, Stage.DONE, Stage.DONE),
    "rerun": (Stage.DUE, Stage.DUE, Stage.SCHEDULED),
}


def named(transition: Transition) -> str:
    return transition.name


@pytest.mark.parametrize(("source", "target"), [*product([None, *State], State)])
def test_history_may_show_exactly_the_pairs_of_the_table(
    source: State | None, target: State
) -> None:
    assert is_legal(source, target) == ((source, target) in LEGAL)


@pytest.mark.parametrize(("source", "transition"), [*product(State, TRANSITIONS)])
def test_transition_leaves_a_state_only_where_the_pair_is_legal(
    source: State, transition: Transition
) -> None:
    if source in transition.sources:
        assert (source, transition.target) in LEGAL
    if (source, transition.target) not in LEGAL:
        assert source not in transition.sources


def test_every_legal_pair_has_a_transition() -> None:
    made = {(source, t.target) for t in TRANSITIONS for source in t.sources or {None}}
    assert made == LEGAL


@pytest.mark.parametrize("word", ["", "PROGRESS", "UNKNOWN", "EXPIRED", "pending"])
def test_words_that_are_no_states_are_never_legal(word: str) -> None:
    assert not any(is_legal(source, word) for source in [None, *State])
    assert not any(is_legal(word, target) for target in State)


def test_final_states_are_left_by_a_rerun_alone() -> None:
    leaving = {t.name for t in TRANSITIONS if t.sources & FINAL}
    assert leaving == {"rerun"}
    assert State.SUCCESS not in states.RERUN.sources


def test_states_are_waiting_running_or_final() -> None:
    assert WAITING | {State.STARTED} == UNFINISHED
    assert set(State) == UNFINISHED | FINAL
    assert not UNFINISHED & FINAL


@pytest.mark.parametrize("transition", TRANSITIONS, ids=named)
def test_short_attempt_may_still_be_stored_as_waiting(transition: Transition) -> None:
    expected = UNFINISHED if transition.begins else transition.sources
    assert transition.stored_sources == expected
    assert not transition.begins or transition.sources == {State.STARTED}


def test_only_what_gives_a_running_task_back_yields() -> None:
    assert {t.name for t in TRANSITIONS if t.yields} == {"retry", "release"}


@pytest.mark.parametrize("transition", TRANSITIONS, ids=named)
def test_stage_after_each_transition(transition: Transition) -> None:
    stages = tuple(transition.stage(delay) for delay in (None, 0.0, 5.0))
    assert stages == STAGES[transition.name]


def test_table_names_are_unique() -> None:
    assert len({t.name for t in TRANSITIONS}) == len(TRANSITIONS) == len(STAGES)
