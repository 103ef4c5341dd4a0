"""``tasktrack pool`` and ``tasktrack queues``: what is asked of a worker, and what is answered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_tasktrack.adaptation import wish_of
from django_tasktrack.management.tasktrack import console as consoles
from django_tasktrack.models import Worker
from tests.factories import make_worker

from .run import tasktrack

pytestmark = pytest.mark.django_db


def wanted(worker: Worker) -> tuple[int, str]:
    wish = wish_of(Worker.objects.get(pk=worker.pk))
    return wish.concurrency, str(wish.served)


def meets_requests(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    """Whoever waits sees the worker do what was asked."""

    def meet(*_: object) -> None:
        row = Worker.objects.get(pk=worker.pk)
        Worker.objects.filter(pk=worker.pk).update(requests_met=row.requests_made)

    monkeypatch.setattr(consoles.Console, "sleep", meet)


@pytest.mark.parametrize(("size", "concurrency"), [("8", 8), ("+2", 6), ("-1", 3), ("1", 1)])
def test_size_of_a_pool(size: str, concurrency: int) -> None:
    worker = make_worker(name="a@host", concurrency=4)
    ran = tasktrack("pool", "a@host", size, "--json")
    assert (ran.code, ran.document["answer"]) == (0, "asked")
    assert ran.document["before"]["concurrency"] == 4
    assert ran.document["wanted"]["concurrency"] == wanted(worker)[0] == concurrency


def test_sizes_add_up() -> None:
    worker = make_worker(concurrency=4)
    for _ in range(3):
        tasktrack("pool", worker.pk, "+2")
    assert wanted(worker)[0] == 10


@pytest.mark.parametrize(
    ("queues", "change", "served"),
    [
        (["mail"], ("add", "sms,web"), "mail, sms, web"),
        (["mail", "sms"], ("drop", "sms"), "mail"),
        ([], ("drop", "slow"), "all but slow"),
    ],
)
def test_queues_of_a_worker(queues: list[str], change: tuple[str, str], served: str) -> None:
    worker = make_worker(name="a@host", queues=queues)
    ran = tasktrack("queues", "a@host", *change)
    assert (ran.code, wanted(worker)[1]) == (0, served)
    assert served in ran.out
    assert "asked" in ran.out


def test_what_it_is_already_is_not_asked_for() -> None:
    worker = make_worker(queues=["mail"], concurrency=4)
    for verb in (("pool", worker.pk, "4"), ("queues", worker.pk, "add", "mail")):
        ran = tasktrack(*verb, "--wait", "--json")
        assert (ran.code, ran.document["answer"]) == (0, "unchanged")
    assert not Worker.objects.get(pk=worker.pk).is_asked_to_change


def test_waiting_until_it_has_done_so(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make_worker(concurrency=4)
    meets_requests(monkeypatch, worker)
    ran = tasktrack("pool", worker.pk, "8", "--wait", "--json")
    assert (ran.code, ran.document["answer"]) == (0, "done")


def test_worker_that_does_not_do_so_in_time_is_a_no() -> None:
    worker = make_worker(concurrency=4)
    ran = tasktrack("pool", worker.pk, "8", "--wait", "0.3s", "--json")
    assert (ran.code, ran.document["answer"]) == (1, "asked")
    assert "the request stands" in ran.err
    again = tasktrack("pool", worker.pk, "8", "--wait", "0.3s", "--json")
    assert (again.code, again.document["answer"]) == (1, "asked"), "it is still not done"


def test_worker_that_ends_meanwhile_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make_worker()

    def end(*_: object) -> None:
        Worker.objects.filter(pk=worker.pk).update(stopped_at=timezone.now())

    monkeypatch.setattr(consoles.Console, "sleep", end)
    ran = tasktrack("pool", worker.pk, "8", "--wait", "--json")
    assert (ran.code, ran.document["answer"]) == (1, "gone")


def test_what_cannot_be_is_wrong_usage() -> None:
    solo = make_worker(name="solo@host", pool="solo", concurrency=1)
    few = make_worker(name="few@host", queues=["mail"], concurrency=2)
    for verb, said in (
        (("pool", solo.pk, "2"), "the pool 'solo', which cannot grow or shrink"),
        (("pool", few.pk, "-2"), "would run 0 tasks at once"),
        (("pool", few.pk, "0"), "would run 0 tasks at once"),
        (("queues", few.pk, "drop", "mail"), "serves mail: no queue would be left"),
        (("queues", few.pk, "add", "a,,b"), "leaves a queue without its name"),
        (("pool", few.pk, "many"), "'many' is no size"),
    ):
        ran = tasktrack(*verb)
        assert (ran.code, said in ran.err) == (2, True), ran.err
    assert not Worker.objects.exclude(requests_made=0).exists()


def test_who_is_meant_has_to_be_one_that_lives() -> None:
    now = timezone.now()
    make_worker(name="gone@host", stopped_at=now)
    make_worker(name="ending@host", shutdown_requested_at=now)
    twins = [make_worker(name="twin@host").pk for _ in range(2)]
    for name, code, said in (
        ("gone@host", 1, "does not live any more"),
        ("ending@host", 1, "was asked to end"),
        ("nobody@host", 1, "No worker is called 'nobody@host'"),
        ("twin@host", 2, "2 workers are called twin@host"),
    ):
        ran = tasktrack("pool", name, "8")
        assert (ran.code, said in ran.err) == (code, True), ran.err
    assert (
        f"{twins[1]} (42 on host), {twins[0]} (42 on host)" in tasktrack("pool", "twin@host", 8).err
    )
    assert tasktrack("pool", twins[0], "8").code == 0


def test_request_of_one_that_is_silent_says_so() -> None:
    worker = make_worker(name="a@host", heartbeat_at=timezone.now() - timedelta(minutes=1))
    ran = tasktrack("pool", worker.pk, "8")
    assert ran.code == 0
    assert "a@host has given no sign of life for" in ran.err


def test_workers_tell_what_was_asked_of_them() -> None:
    worker = make_worker(concurrency=4, excluded_queues=["slow"])
    tasktrack("pool", worker.pk, "8")
    (told,) = tasktrack("workers", "--json").document
    assert (told["queues"], told["excluded_queues"], told["concurrency"]) == ([], ["slow"], 4)
    assert told["wanted"] == {"concurrency": 8, "queues": [], "excluded_queues": ["slow"]}
    tasktrack("queues", worker.pk, "drop", "big")
    shown = tasktrack("workers").out
    assert "0 of 4 -> 8" in shown
    assert "all but slow -> all but slow, big" in shown
