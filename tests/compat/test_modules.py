"""The modules of Celery's that projects import from, each with its names."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import pytest

import django_tasktrack
from django_tasktrack import compat, result, signals
from django_tasktrack.compat import celery
from django_tasktrack.compat.celery import states
from django_tasktrack.compat.celery.result import AsyncResult
from django_tasktrack.compat.celery.signals import NeverSent
from django_tasktrack.compat.celery.utils.log import get_task_logger
from django_tasktrack.ids import is_ours, parse_id
from django_tasktrack.states import State

MODULES = ["", ".app", ".canvas", ".exceptions", ".result", ".schedules", ".signals", ".states"]
MODULES += [".utils", ".utils.log"]


@pytest.mark.parametrize("name", MODULES)
def test_module_has_the_names_that_it_promises(name: str) -> None:
    module = importlib.import_module(f"{compat.__name__}.celery{name}")
    assert [one for one in module.__all__ if not hasattr(module, one)] == []


def test_modules_are_attributes_of_the_package() -> None:
    for name in MODULES[2:9]:
        assert getattr(celery, name[1:]) is importlib.import_module(f"{celery.__name__}{name}")
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        celery.no_such  # noqa: B018


def test_shapes_are_the_native_ones() -> None:
    assert celery.chain is django_tasktrack.chain
    assert celery.current_task is django_tasktrack.current_task
    assert celery.signals.task_success is signals.task_success


@pytest.mark.parametrize("name", ["broker_connection", "connection_or_acquire", "pool"])
def test_who_connects_to_the_broker_is_told_what_to_ask_instead(name: str) -> None:
    with (
        celery.Celery("proj", set_as_current=False) as app,
        pytest.raises(AttributeError) as caught,
    ):
        getattr(app, name)
    assert f"no {name!r}. Hint: The database is the broker" in str(caught.value)
    assert "How long a queue is: TrackedTask.objects.filter(queue=...)" in str(caught.value)


def test_states_are_all_there_and_plain_text() -> None:
    assert {state.value for state in State} <= states.ALL_STATES
    assert states.READY_STATES.isdisjoint(states.UNREADY_STATES)
    assert type(states.SUCCESS) is str
    assert "EXPIRED" in states.READY_STATES


def test_result_takes_celery_s_arguments_and_is_the_native_one_s_equal() -> None:
    made = AsyncResult("x", backend=None, task_name="t", app=object(), parent=None)
    native = result.AsyncResult("x")
    assert isinstance(native, AsyncResult)
    assert not isinstance("x", AsyncResult)
    assert (made == native, hash(made)) == (True, hash(native))


NEVER = [
    name for name in celery.signals.__all__ if isinstance(getattr(celery.signals, name), NeverSent)
]


@pytest.mark.parametrize("name", NEVER)
def test_signal_that_is_never_sent_says_so_where_it_is_connected(name: str) -> None:
    signal = getattr(celery.signals, name)

    def receive(**kwargs: Any) -> None: ...

    for connect in (signal.connect, signal.connect(sender="x"), signal.connect()):
        with pytest.warns(UserWarning, match=f"The signal {name} is never sent here") as warned:
            connect(receive)
        assert signal.why in str(warned[0].message)
        assert warned[0].filename == __file__


def test_signals_of_tasks_and_workers_are_sent() -> None:
    assert "setup_logging" in NEVER
    assert not {"task_success", "worker_ready", "before_task_publish"} & set(NEVER)


def test_utils() -> None:
    made = parse_id(celery.uuid())
    assert made is not None
    assert is_ours(made)
    assert get_task_logger("a.b") is logging.getLogger("a.b")
