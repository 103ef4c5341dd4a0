"""Signals: how they are connected, what receivers may do, and what is told where tasks are enqueued."""

from __future__ import annotations

import gc
import logging
import signal as signal_module
from typing import Any

import pytest
from django.db import connection, transaction

import django_tasktrack
from django_tasktrack import enqueue_many, registry, signals, transitions
from django_tasktrack.exceptions import TaskFailure, WorkerLost
from django_tasktrack.ids import new_id
from django_tasktrack.models import TrackedTask
from django_tasktrack.request import Request
from django_tasktrack.signals import Signal
from django_tasktrack.states import State
from tests.app import tasks
from tests.factories import NAME, make_task, new_task
from tests.inline import row, the_vendor
from tests.listening import listening, names


@pytest.fixture
def signal() -> Signal:
    return Signal("played")


class Sender:
    """A task, as far as signals look at it."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_signals_are_found_in_the_package() -> None:
    assert django_tasktrack.signals is signals


# Connecting


def test_connect_is_a_decorator_in_both_of_celery_s_forms(signal: Signal) -> None:
    heard: list[object] = []

    @signal.connect
    def every(**given: Any) -> None:
        heard.append("every")

    @signal.connect(sender="mail.send")
    def some(**given: Any) -> None:
        heard.append("some")

    signal.tell(Sender("mail.send"))
    signal.tell(Sender("mail.fetch"))
    assert heard == ["every", "some", "every"]
    assert callable(every)
    assert callable(some)


def test_a_task_and_its_name_are_the_same_sender(signal: Signal) -> None:
    heard: list[object] = []

    def receiver(sender: object, **given: Any) -> None:
        heard.append(sender)

    again = Sender("".join(["mail", ".send"]))  # a text of its own, as from a row
    signal.connect(receiver, sender=Sender("mail.send"))
    signal.tell(again)
    signal.tell("".join(["mail.", "send"]))
    signal.tell(Sender("other"))
    assert heard == [again, "mail.send"]
    assert signal.has_listeners(again)
    assert not signal.has_listeners(Sender("other"))
    assert signal.disconnect(receiver, sender="mail.send")
    assert not signal.receivers


def test_a_receiver_that_nothing_else_refers_to_is_forgotten(signal: Signal) -> None:
    signal.connect(lambda **_: None)
    gc.collect()
    assert not signal.has_listeners()
    signal.connect(lambda **_: None, weak=False)
    gc.collect()
    assert signal.has_listeners()


# What receivers do


@pytest.mark.parametrize("error", [ValueError("oh"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_receiver_raises_is_logged_with_its_name(
    signal: Signal, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def oh_dear(**given: Any) -> None:
        raise error

    signal.connect(oh_dear)
    with caplog.at_level(logging.ERROR):
        signal.tell(None)
    (record,) = caplog.records
    assert "played" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    if isinstance(error, Exception):
        assert "oh_dear, a receiver of played, raised: oh" in record.getMessage()
        assert record.name == "django_tasktrack.signals"


def test_one_that_raises_keeps_the_next_from_nothing(signal: Signal) -> None:
    heard: list[str] = []

    def first(**given: Any) -> None:
        raise ValueError

    def second(**given: Any) -> None:
        heard.append("second")

    signal.connect(first)
    signal.connect(second)
    signal.tell(None)
    assert heard == ["second"]


def test_an_async_receiver_is_awaited(signal: Signal) -> None:
    heard: list[str] = []

    async def receiver(**given: Any) -> None:
        heard.append("awaited")

    signal.connect(receiver)
    signal.tell(None)
    assert heard == ["awaited"]


# Enqueueing


@pytest.mark.django_db(transaction=True)
def test_publishing_is_told_before_the_row_and_after_the_commit() -> None:
    seen: list[tuple[str, bool, bool]] = []

    def receiver(signal: Signal, headers: dict[str, Any], **given: Any) -> None:
        exists = TrackedTask.objects.filter(pk=headers["id"]).exists()
        seen.append((signal.name, connection.in_atomic_block, exists))

    both = (signals.before_task_publish, signals.after_task_publish)
    for one in both:
        one.connect(receiver)
    try:
        with transaction.atomic():
            tasks.add.delay(1, 2)
            assert [name for name, *_ in seen] == ["before_task_publish"]
    finally:
        for one in both:
            one.disconnect(receiver)
    assert seen == [("before_task_publish", True, False), ("after_task_publish", False, True)]


@pytest.mark.django_db(transaction=True)
def test_a_message_is_told_as_celery_tells_it() -> None:
    with listening(signals.before_task_publish, signals.after_task_publish) as heard:
        result = tasks.add.apply_async(
            (1,), {"y": 2}, queue="mail", priority=5, time_limit=9, soft_time_limit=8
        )
    before, after = heard
    for one in heard:
        assert one.sender == tasks.add.name
        assert one.given["routing_key"] == "mail"
        args, kwargs, embedded = one.given["body"]
        assert (args, kwargs) == ((1,), {"y": 2})
        assert set(embedded) == {"callbacks", "errbacks", "chain", "chord"}
        headers = one.given["headers"]
        assert (headers["id"], headers["task"]) == (result.id, tasks.add.name)
        assert (headers["argsrepr"], headers["kwargsrepr"]) == ("(1,)", "{'y': 2}")
        assert headers["timelimit"] == [9, 8]
        assert headers["root_id"] == result.id
    assert before.given["properties"] == {"correlation_id": result.id, "priority": 5}
    assert "properties" not in after.given


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_was_never_published() -> None:
    with listening(signals.after_task_publish) as heard, transaction.atomic():
        tasks.add.delay(1, 2)
        transaction.set_rollback(True)
    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_each_of_many_is_told_and_one_that_has_its_key_already_is_not_published() -> None:
    with listening(signals.before_task_publish, signals.after_task_publish) as heard:
        enqueue_many(tasks.keyed, [((1,), {}), ((2,), {}), ((0,), {})])
        tasks.keyed.delay(1)
    assert names(heard) == [
        *["before_task_publish"] * 3, *["after_task_publish"] * 3, "before_task_publish",
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_raises_keeps_no_task_from_being_enqueued() -> None:
    def refuses(**given: Any) -> None:
        raise ValueError("no")

    signals.before_task_publish.connect(refuses)
    try:
        assert tasks.add.delay(1, 2).state == State.PENDING
    finally:
        signals.before_task_publish.disconnect(refuses)


@pytest.mark.django_db(transaction=True)
def test_only_those_who_listen_to_a_task_hear_of_it() -> None:
    with listening(signals.after_task_publish, sender=tasks.add) as heard:
        tasks.echo.delay(1)
        result = tasks.add.delay(1, 2)
    assert [one.given["headers"]["id"] for one in heard] == [result.id]


# Ends that no body tells of


@pytest.mark.django_db(transaction=True)
def test_a_revoke_is_told_once_it_is_committed() -> None:
    result = tasks.add.apply_async((1, 2), queue="mail")
    with listening(signals.task_revoked) as heard:
        with transaction.atomic():
            result.revoke()
            assert heard == []
        (one,) = heard
    assert one.sender is tasks.add
    request = one.given.pop("request")
    assert isinstance(request, Request)
    assert (request.id, request.args, request.task) == (result.id, (1, 2), tasks.add.name)
    assert request.delivery_info["routing_key"] == "mail"
    assert one.given == {"terminated": False, "signum": None, "expired": False}


@pytest.mark.django_db(transaction=True)
def test_a_revoke_that_is_rolled_back_is_not_told() -> None:
    result = tasks.add.delay(1, 2)
    with listening(signals.task_revoked) as heard, transaction.atomic():
        result.revoke()
        transaction.set_rollback(True)
    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_what_only_asks_for_a_revoke_is_told_by_the_worker_that_answers() -> None:
    running = make_task(State.STARTED)
    with listening(signals.task_revoked) as heard:
        transitions.revoke([running.pk, new_id()])
        transitions.revoke([make_task(State.SUCCESS).pk])
    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_a_task_that_this_process_does_not_know_is_named() -> None:
    task = make_task(name="elsewhere.work")
    with listening(signals.task_revoked) as heard:
        transitions.revoke([task.pk])
    assert [one.sender for one in heard] == ["elsewhere.work"]


@pytest.mark.django_db(transaction=True)
def test_expired_tasks_are_told_as_such() -> None:
    new = new_task(expires_in=-1.0)
    transitions.enqueue([new])
    expired = transitions.expire(the_vendor())
    with listening(signals.task_revoked) as heard:
        transitions.tell_ends("default", expired.applied, expired=True)
    assert [(one.given["request"].id, one.given["expired"]) for one in heard] == [
        (str(new.task_id), True)
    ]


@pytest.mark.django_db(transaction=True)
def test_a_task_that_runs_again_has_not_ended() -> None:
    task = make_task(State.FAILURE)
    transitions.rerun([task.pk])
    with listening(signals.task_revoked, signals.task_failure) as heard:
        transitions.tell_ends("default", [task.pk])
    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_a_failure_that_no_body_tells_of_has_an_exception_to_match() -> None:
    lost = make_task(State.FAILURE, error=WorkerLost("signal SIGKILL"), args=[1], kwargs={"k": 2})
    other = make_task(State.FAILURE, error=ValueError("no such invoice"))
    with listening(signals.task_failure) as heard:
        transitions.tell_ends("default", [lost.pk])
        transitions.tell_ends("default", [other.pk])
    one, two = (heard_of.given for heard_of in heard)
    assert isinstance(one["exception"], WorkerLost)
    assert (str(one["exception"]), one["args"], one["kwargs"]) == ("signal SIGKILL", (1,), {"k": 2})
    assert one["task_id"] == str(lost.pk)
    assert isinstance(two["exception"], TaskFailure)
    assert two["exception"].error_type == "ValueError"
    assert "no such invoice" in str(two["einfo"])
    assert (two["traceback"], two["einfo"].exception) == (None, two["exception"])


def test_a_task_is_introduced_with_its_declaration() -> None:
    assert signals.task_of(tasks.add.name) is tasks.add
    assert signals.task_of(NAME) == NAME
    assert registry.get(tasks.add.name).task is tasks.add


@pytest.mark.django_db(transaction=True)
def test_the_terminating_signal_is_told() -> None:
    task = make_task(State.REVOKED)
    row_of = type(task).objects.filter(pk=task.pk)
    row_of.update(revoke_request={"signal": "SIGTERM", "actor": "", "reason": ""})
    with listening(signals.task_revoked) as heard:
        transitions.tell_ends("default", [task.pk])
    assert (heard[0].given["terminated"], heard[0].given["signum"]) == (True, signal_module.SIGTERM)
    assert row(task.pk).state == State.REVOKED


@pytest.mark.django_db(transaction=True)
def test_of_rescued_tasks_only_those_that_were_given_up_are_told() -> None:
    """Another one may have run since, and told itself how that ended."""
    lost = make_task(State.FAILURE, error=WorkerLost("worker 7 is gone"))
    failed_since = make_task(State.FAILURE, error=ValueError("in a later attempt"))
    with listening(signals.task_failure) as heard:
        transitions.tell_ends("default", [lost.pk, failed_since.pk], lost=True)
    assert [one.given["task_id"] for one in heard] == [str(lost.pk)]
