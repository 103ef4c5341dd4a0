"""``app.control`` without a worker: what it refuses, and what it does to the table."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from django_tasktrack import limits
from django_tasktrack.compat.celery.app.control import INSTEAD, Control
from django_tasktrack.compat.celery.exceptions import InvalidTaskError, Unsupported
from django_tasktrack.models import TrackedTask
from django_tasktrack.transitions import gate
from tests.app.application import add
from tests.factories import make_worker
from tests.inline import the_vendor

control = Control()


@pytest.mark.parametrize("verb", sorted(INSTEAD))
def test_verb_that_cannot_be_followed_names_itself_and_says_what_to_do(verb: str) -> None:
    with pytest.raises(
        Unsupported, match=rf"app\.control\.{verb}\(\) cannot be followed"
    ) as refused:
        getattr(control, verb)("tasks.add", "10/m", destination=["w1"], reply=True)
    assert refused.value.hint == INSTEAD[verb]


def test_verb_that_is_none_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="Did you mean 'revoke'"):
        control.revok("x")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["SIGKILL", "kill", "KILL", signal.SIGKILL])
def test_signal_is_given_as_people_write_it(name: str | int) -> None:
    result = add.delay(1, 1)
    assert control.terminate(result.id, signal=name) == {result.id: "revoked"}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["SIGSTOP", "nonsense", 12345])
def test_signal_that_ends_nothing_is_refused(name: str | int) -> None:
    result = add.delay(1, 1)
    with pytest.raises(InvalidTaskError, match=r"cannot end a task.*SIGTERM"):
        control.revoke(result.id, terminate=True, signal=name)
    assert result.state == "PENDING"


@pytest.mark.django_db
def test_workers_are_asked_for_other_sizes_and_queues() -> None:
    two, mail = make_worker(name="w1", concurrency=2), make_worker(name="w2", queues=["mail"])
    alone = make_worker(name="w3", pool="solo", concurrency=1)
    assert control.pool_grow(2, destination="w1") == [{"w1": {"ok": "4 at once, queues: all"}}]
    assert control.pool_shrink(destination=["w1"]) == [{"w1": {"ok": "3 at once, queues: all"}}]
    assert control.add_consumer("sms", destination="w2") == [
        {"w2": {"ok": "4 at once, queues: mail, sms"}}
    ]
    assert control.cancel_consumer("mail", destination="w2") == [
        {"w2": {"ok": "4 at once, queues: sms"}}
    ]
    two.refresh_from_db()
    mail.refresh_from_db()
    assert two.wanted_concurrency == 3
    assert mail.wanted_queues == {"only": ["sms"], "excluded": []}
    (answer,) = control.pool_grow(destination=alone.name)
    assert "cannot grow" in answer["w3"]["error"]
    (answer,) = control.cancel_consumer("sms", destination="w2")
    assert "no queue would be left" in answer["w2"]["error"]
    assert control.pool_grow(destination="nobody") == []


@pytest.mark.django_db
def test_queues_that_are_left_out_are_not_active() -> None:
    make_worker(name="w1", excluded_queues=["mail"])
    add.apply_async((1, 1), queue="mail")
    add.apply_async((1, 1), queue="sms")
    queues = control.inspect().active_queues()
    assert queues
    assert {queue["name"] for queue in queues["w1"]} == {"default", "sms"}


@pytest.mark.django_db
def test_limits_are_written_for_all_workers() -> None:
    assert control.rate_limit(add.name, "10/m", destination=["w1"]) == [
        {"table": {"ok": f"rate limit of {add.name}: 10/m"}}
    ]
    assert control.time_limit(add.name, soft=60, hard=120)[0]["table"]["ok"]
    row = limits.of_task(add.name)
    assert row
    assert (row.rate_limit, row.soft_time_limit, row.time_limit) == ("10/m", 60, 120)
    control.rate_limit(add.name, 0)
    row.refresh_from_db()
    assert row.rate == ""
    with pytest.raises(InvalidTaskError, match="often"):
        control.rate_limit(add.name, "often")


@pytest.mark.django_db
def test_purge_takes_all_that_nobody_has_and_no_other() -> None:
    waiting = [
        add.delay(1, 1),
        add.apply_async((1, 1), countdown=60),
        (add.s(1, 1) | add.s(2)).delay(),
        add.apply_async((1, 1), concurrency=("k", 1)),
    ]
    gate(the_vendor(), [], [])
    taken = add.delay(1, 1)
    TrackedTask.objects.filter(pk=taken.id).update(stage=3)
    assert control.purge() == 5
    assert [result.state for result in waiting] == ["REVOKED"] * 4
    assert taken.state == "PENDING"
    assert waiting[0].history()[-1].reason == "purged"
    assert control.discard_all() == 0


@pytest.mark.django_db
def test_nobody_answers_where_no_worker_lives() -> None:
    inspect = control.inspect()
    asked = [
        inspect.active(),
        inspect.reserved(),
        inspect.registered(),
        inspect.stats(),
        inspect.ping(),
    ]
    assert [*asked, inspect.active_queues(), inspect.scheduled(), inspect.query_task("x")] == [
        None
    ] * 8
    assert (control.ping(), control.shutdown()) == ([], [])
    later = add.apply_async((1, 1), countdown=60)
    told = inspect.scheduled()
    assert told is not None
    assert [one["request"]["id"] for one in told["table"]] == [later.id]
    control.enable_events()


@pytest.mark.django_db
def test_worker_that_has_been_silent_for_a_lease_does_not_answer() -> None:
    make_worker(name="living", known_tasks=["a"])
    make_worker(name="silent", heartbeat_at=timezone.now() - timedelta(days=1))
    assert control.ping() == [{"living": {"ok": "pong"}}]
    assert control.inspect().registered() == {"living": ["a"]}
    assert control.inspect("silent").ping() is None
    assert control.shutdown(["silent"]) == []
