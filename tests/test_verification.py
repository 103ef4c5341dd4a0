"""What an id says of itself, without and with its row."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.test import override_settings

from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.ids import new_id
from django_tasktrack.models import TrackedTask
from django_tasktrack.verification import is_recent_task, is_task_id_valid, verify_task_status
from tests.app.tasks import add

pytestmark = pytest.mark.django_db
NONSENSE = ["", "42", "not an id", str(uuid4()), "00000000-0000-0000-0000-000000000000"]


def in_seconds(seconds: float) -> datetime:
    return datetime.fromtimestamp(time.time() + seconds, UTC)


@pytest.mark.parametrize("task_id", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_nothing(task_id: str) -> None:
    assert verify_task_status(task_id) == "EXPIRED_OR_UNKNOWN"
    assert not is_task_id_valid(task_id)
    assert not is_recent_task(task_id)


def test_state_is_told_where_there_is_a_row() -> None:
    result = add.delay(1, 1)
    assert verify_task_status(result.id) == verify_task_status(UUID(result.id)) == "PENDING"
    result.revoke()
    assert verify_task_status(result.id) == "REVOKED"


def test_issued_id_is_valid_without_a_row_and_a_changed_one_is_not() -> None:
    issued = new_id()
    assert is_task_id_valid(issued)
    assert is_task_id_valid(str(issued).upper())
    for bit in (0, 23, 24, 60, 100):
        assert not is_task_id_valid(UUID(int=issued.int ^ 1 << bit))


def test_id_of_another_project_is_not_valid_unless_its_key_is_a_fallback() -> None:
    issued = new_id()
    with override_settings(SECRET_KEY="another"):
        assert not is_task_id_valid(issued)
        assert not is_recent_task(issued)
        with override_settings(SECRET_KEY_FALLBACKS=["tests-only"]):
            assert is_task_id_valid(issued)


def test_id_that_a_caller_chose_is_valid_while_there_is_a_row() -> None:
    chosen = uuid4()
    assert not is_task_id_valid(chosen)
    add.apply_async((1, 1), task_id=chosen)
    assert is_task_id_valid(chosen)
    assert is_recent_task(chosen, within=60)
    assert not is_recent_task(chosen, within=60, now=in_seconds(61))


def test_age_is_that_of_the_id_where_there_is_no_row() -> None:
    issued = new_id()
    assert is_recent_task(issued, within=60, now=in_seconds(59))
    assert not is_recent_task(issued, within=timedelta(minutes=1), now=in_seconds(61))


def test_age_is_that_of_the_row_where_there_is_one() -> None:
    result = add.delay(1, 1)
    TrackedTask.objects.filter(pk=result.id).update(created_at=in_seconds(-100))
    assert not is_recent_task(result.id, within=60)
    assert is_recent_task(result.id, within=110)


def test_retention_is_the_age_where_none_is_given() -> None:
    issued = new_id()
    with override_settings(TASKTRACK={"RESULT_EXPIRES": 60}):
        assert is_recent_task(issued, now=in_seconds(59))
        assert not is_recent_task(issued, now=in_seconds(61))
    with override_settings(TASKTRACK={"RESULT_EXPIRES": None}):
        assert is_recent_task(issued, now=in_seconds(1e9))
        assert not is_recent_task(uuid4())


def test_clock_that_was_put_back_makes_no_id_old() -> None:
    assert is_recent_task(new_id(), within=1, now=in_seconds(-3600))


def test_age_must_be_one() -> None:
    with pytest.raises(InvalidTask, match="is not a duration"):
        is_recent_task(new_id(), within="1h")  # type: ignore[arg-type]
