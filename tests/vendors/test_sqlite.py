"""SQLite: nobody is notified, and there is one writer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.db import connection, connections, transaction

from django_tasktrack.models import Worker
from tests.app import tasks
from tests.factories import NAME, make_worker
from tests.inline import enqueue, the_vendor
from tests.workers import wait_until, worker

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="it is about SQLite's own vendor"),
]


def elsewhere(act: Callable[[], object]) -> None:
    """Do something on another connection."""

    def run() -> None:
        try:
            act()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_what_others_commit_is_noticed_and_what_this_one_does_is_not() -> None:
    vendor = the_vendor()
    connection.ensure_connection()
    seen = vendor.revision()
    enqueue()
    assert vendor.revision() == seen, "its own"
    elsewhere(Worker.objects.count)
    assert vendor.revision() == seen, "somebody has read"
    elsewhere(enqueue)
    assert vendor.revision() != seen


def test_another_connection_is_no_reason_to_think_that_nothing_has_changed() -> None:
    connection.ensure_connection()
    seen = the_vendor().revision()
    connection.close()
    connection.ensure_connection()
    assert the_vendor().revision() != seen


def test_a_look_for_claims_that_are_not_there_waits_for_no_writer() -> None:
    """Workers look often, and bodies write."""
    owner, has_it, done = make_worker(), threading.Event(), threading.Event()
    enqueue(delay=60)

    def write() -> None:
        with transaction.atomic():
            Worker.objects.update(host="other")
            has_it.set()
            done.wait(10)
        connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    assert has_it.wait(5)
    began = time.monotonic()
    assert the_vendor().claim(owner.pk, [], [NAME], 10) == []
    promoted, following = the_vendor().promote()
    assert promoted == 0
    assert following == pytest.approx(60, abs=5)
    assert time.monotonic() - began < 1
    done.set()
    writer.join()


def test_an_idle_worker_notices_a_task_at_once() -> None:
    with worker("-c", "1", tasktrack={"POLL_MAX": 20, "MAINTENANCE": 20}):
        tasks.add.delay(0, 0).get(timeout=10)
        time.sleep(2)  # it has found nothing for a while, and its pauses have become longer
        for number in range(3):
            time.sleep(0.5)
            began = time.monotonic()
            result = tasks.add.delay(number, 1)
            wait_until(result.ready, timeout=10)
            assert time.monotonic() - began < 0.5
