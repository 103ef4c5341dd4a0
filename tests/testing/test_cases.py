"""The helpers as methods of test cases, and as fixtures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from django_tasktrack import EagerResult, goals
from django_tasktrack.conf import config
from django_tasktrack.testing import Tasktrack, TasktrackMixin
from django_tasktrack.vendors import Vendor
from tests.app.models import Entry
from tests.app.tasks import add, echo, fails


class AsMethods(TasktrackMixin, TestCase):
    def test_all_of_them(self) -> None:
        with self.enqueued() as tasks:
            later = add.apply_async((1, 2), countdown=3600)
        tasks.assert_enqueued(add)
        self.assertEnqueued(add, args=[1, 2], times=1)
        self.assertNotEnqueued(echo)
        self.travel(by=1800)
        assert self.run_due() == []
        self.travel(by=timedelta(seconds=1801))
        assert self.run_due() == [later]
        goals.pursue("k", key=1, task=echo, achieve_on_success=True)
        self.run_all()
        self.assertGoal("k", 1)
        self.eager()
        with self.assertRaisesMessage(ValueError, "boom"):
            fails.delay("boom")

    def test_clock_is_set_back_between_tests(self) -> None:
        assert Vendor.ahead == timedelta(0)
        self.travel(by=60)

    test_whichever_comes_first = test_clock_is_set_back_between_tests

    async def test_asynchronously(self) -> None:
        self.travel(by=60)
        assert await self.arun_due() == []
        assert await self.arun_all() == []


class WithoutATransaction(TasktrackMixin, TransactionTestCase):
    def test_methods_are_the_same(self) -> None:
        result = add.delay(1, 2)
        assert self.run_due() == [result]


class WithoutADatabase(TasktrackMixin, SimpleTestCase):
    def test_eager_needs_none(self) -> None:
        self.eager(propagates=False)
        assert fails.delay().failed()

    def test_it_ends_with_the_test(self) -> None:
        assert not config().ALWAYS_EAGER
        self.eager()

    test_whichever_comes_first = test_it_ends_with_the_test


# Fixtures


def test_fixture_brings_the_database(tasktrack: Tasktrack) -> None:
    assert connection.in_atomic_block
    with tasktrack.enqueued() as tasks:
        result = add.apply_async((1, 2), countdown=60)
    assert list(tasks) == [result]
    tasktrack.assert_enqueued(add)
    tasktrack.assert_not_enqueued(echo)
    tasktrack.travel(by=61)
    assert tasktrack.run_due() == [result]
    assert tasktrack.run_all() == []
    goals.pursue("k", key=1, task=echo, achieve_on_success=True)
    tasktrack.run_due()
    tasktrack.assert_goal("k", 1)
    tasktrack.eager()
    assert isinstance(add.delay(1, 2), EagerResult)


def test_it_ends_with_the_test(tasktrack: Tasktrack) -> None:
    assert (Vendor.ahead, config().ALWAYS_EAGER) == (timedelta(0), False)


@pytest.mark.django_db(transaction=True)
def test_fixture_with_a_mark(tasktrack: Tasktrack) -> None:
    assert not connection.in_atomic_block
    result = add.delay(1, 2)
    assert tasktrack.run_due() == [result]


def test_fixture_with_another_fixture(transactional_db: None, tasktrack: Tasktrack) -> None:
    assert not connection.in_atomic_block
    Entry.objects.create(text="x")
    assert tasktrack.run_due() == []


def test_eager_fixture_needs_no_database(tasktrack_eager: None) -> None:
    assert add.delay(1, 2).get() == 3
    with pytest.raises(ValueError, match="boom"):
        fails.delay("boom")
