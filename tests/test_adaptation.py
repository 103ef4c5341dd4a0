"""A worker is asked to change through its row: it hears of it with a sign of life, does it, and says so."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasktrack import liveness
from django_tasktrack.adaptation import Wish, ask_to_change, wish_of
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.heartbeat import Beat, _Pulse
from django_tasktrack.models import Worker
from django_tasktrack.registration import Registration, ask_to_end
from django_tasktrack.served import Served

from .factories import make_worker
from .inline import the_vendor
from .test_liveness import _Mute
from .test_shutdown import IDENTITY, row

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process ends much later than its workers' rows, whose numbers come again."""
    monkeypatch.setattr(liveness, "hold", lambda *_: False)


def more(count: int, worker_id: int) -> tuple[Wish, Wish] | None:
    def grown(wish: Wish) -> Wish:
        return wish._replace(concurrency=wish.concurrency + count)

    return ask_to_change(the_vendor(), worker_id, grown)


def also(queue: str, worker_id: int) -> tuple[Wish, Wish] | None:
    def wider(wish: Wish) -> Wish:
        return wish._replace(served=wish.served.adding([queue]))

    return ask_to_change(the_vendor(), worker_id, wider)


def heard(worker_id: int) -> Beat:
    pulse = _Pulse("default", patience=1.0)
    pulse._connected = True  # as this thread is
    return pulse.beat(worker_id)


def registered(wishes: list[Wish]) -> Registration:
    registration = Registration(
        the_vendor(), IDENTITY, _Mute(), 5.0,
        on_lost=lambda _: None, on_dead=lambda: None, on_wish=wishes.append,
    )  # fmt: skip
    registration.register()
    return registration


# Asking


def test_requests_add_up_before_they_are_heard_of() -> None:
    worker = make_worker(concurrency=4, queues=["mail"])
    assert more(2, worker.pk) == (Wish(4, Served(("mail",))), Wish(6, Served(("mail",)), 1))
    also("sms", worker.pk)
    more(-1, worker.pk)
    assert wish_of(row(worker.pk)) == Wish(5, Served(("mail", "sms")), 3)
    assert (row(worker.pk).concurrency, row(worker.pk).queues) == (4, ["mail"])


def test_what_asks_for_nothing_new_is_not_written() -> None:
    worker = make_worker()
    more(0, worker.pk)
    assert not row(worker.pk).is_asked_to_change


def test_what_takes_an_open_request_back_is_written() -> None:
    worker = make_worker(concurrency=4)
    more(2, worker.pk)
    more(-2, worker.pk)
    assert wish_of(row(worker.pk)) == Wish(4, Served(), 2)


def test_those_that_are_gone_are_not_asked() -> None:
    now = timezone.now()
    for gone in (make_worker(stopped_at=now), make_worker(lost_at=now)):
        assert more(1, gone.pk) is None
    assert more(1, 10**9) is None


def test_what_is_refused_leaves_no_trace() -> None:
    worker = make_worker(queues=["mail"])
    with pytest.raises(InvalidTask):
        ask_to_change(
            the_vendor(), worker.pk, lambda wish: wish._replace(served=wish.served.dropping(["mail"]))
        )  # fmt: skip
    assert not row(worker.pk).is_asked_to_change


# Hearing


def test_sign_of_life_tells_of_it_until_it_is_met() -> None:
    wishes: list[Wish] = []
    registration = registered(wishes)
    assert heard(registration.worker_id).wish is None
    more(2, registration.worker_id)
    for _ in range(2):
        beat = heard(registration.worker_id)
        assert (beat.counted, beat.asked_to_end) == (True, False)
        registration._take(beat)
    assert wishes == [Wish(3, Served(), 1)] * 2, "whoever missed it hears of it again"
    registration.adapted(wishes[0])
    assert heard(registration.worker_id).wish is None


def test_it_is_told_beside_a_request_to_end() -> None:
    worker = make_worker(concurrency=1)
    more(1, worker.pk)
    ask_to_end(the_vendor(), [worker.pk])
    beat = heard(worker.pk)
    assert (beat.asked_to_end, beat.wish) == (True, Wish(2, Served(), 1))


def test_question_costs_no_statement_once_it_is_met() -> None:
    registration = registered([])
    more(2, registration.worker_id)
    registration.adapted(Wish(3, Served(), 1))
    with CaptureQueriesContext(connection) as queries:
        heard(registration.worker_id)
    assert sum(query["sql"].startswith("UPDATE") for query in queries) == 1
    assert not [query for query in queries if "FROM" in query["sql"]]


# Saying so


def test_row_shows_what_the_worker_is_now() -> None:
    registration = registered([])
    registration.adapted(Wish(3, Served(excluded=("slow",)), 1))
    now = row(registration.worker_id)
    assert (now.concurrency, now.queues, now.excluded_queues) == (3, [], ["slow"])
    registration.adapted(Wish(3, Served(("mail",)), 2))
    assert str(row(registration.worker_id).served) == "mail"


def test_what_was_asked_meanwhile_stays_open() -> None:
    registration = registered([])
    more(2, registration.worker_id)
    first = wish_of(row(registration.worker_id))
    more(5, registration.worker_id)
    registration.adapted(first)
    now = row(registration.worker_id)
    assert (now.concurrency, wish_of(now)) == (3, Wish(8, Served(), 2))


def test_worker_that_was_lost_begins_anew_as_what_it_had_become() -> None:
    registration = registered([])
    more(2, registration.worker_id)
    registration.adapted(wish_of(row(registration.worker_id)))
    also("ignored: it serves all", registration.worker_id)
    Worker.objects.filter(pk=registration.worker_id).update(lost_at=timezone.now())
    registration.register()
    now = row(registration.worker_id)
    assert (now.concurrency, now.is_asked_to_change) == (3, False)


def test_open_request_is_taken_along_when_the_worker_was_lost() -> None:
    registration = registered([])
    more(2, registration.worker_id)
    Worker.objects.filter(pk=registration.worker_id).update(lost_at=timezone.now())
    registration.register()
    assert heard(registration.worker_id).wish == Wish(3, Served(), 1)


def test_what_is_started_in_its_place_is_as_it_was_started() -> None:
    more(2, registered([]).worker_id)
    assert heard(registered([]).worker_id).wish is None
