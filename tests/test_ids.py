"""Task ids: ours or not, in order, and never twice."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_tasktrack import ids
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.ids import is_ours, new_id, parse_id, required_id


def test_id_is_a_uuid_of_version_7_and_ours() -> None:
    task_id = new_id()
    assert (task_id.version, task_id.variant) == (7, uuid.RFC_4122)
    assert is_ours(task_id)


def test_later_ids_sort_after_earlier_ones() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@given(st.integers(0, 127))
def test_one_changed_bit_makes_an_id_foreign(bit: int) -> None:
    assert not is_ours(uuid.UUID(int=new_id().int ^ (1 << bit)))


@given(st.uuids())
def test_random_ids_are_foreign(task_id: uuid.UUID) -> None:
    assert not is_ours(task_id)


def test_right_checksum_on_another_version_is_foreign() -> None:
    head = new_id().int >> 24 ^ (0b0011 << 52)  # version 7 becomes 4
    forged = uuid.UUID(int=head << 24 | ids._tag(head, settings.SECRET_KEY))
    assert forged.version == 4
    assert not is_ours(forged)


def test_id_of_another_key_is_foreign() -> None:
    with override_settings(SECRET_KEY="another project's"):
        task_id = new_id()
    assert not is_ours(task_id)


def test_ids_stay_ours_over_a_rotation_of_the_key() -> None:
    task_id = new_id()
    with override_settings(SECRET_KEY="fresh", SECRET_KEY_FALLBACKS=["older", "tests-only"]):
        assert is_ours(task_id)
        assert is_ours(new_id())
    with override_settings(SECRET_KEY="fresh", SECRET_KEY_FALLBACKS=["older"]):
        assert not is_ours(task_id)


@pytest.mark.parametrize("spell", [str, str.upper, lambda text: text.replace("-", "")])
def test_id_is_read_from_its_text(spell: Callable[[str], str]) -> None:
    task_id = new_id()
    assert parse_id(spell(str(task_id))) == parse_id(task_id) == task_id


@pytest.mark.parametrize("value", ["", "42", 7, None, b"x", "g" * 32, "\x00", "1" * 10_000, []])
def test_what_spells_no_uuid_is_no_id(value: object) -> None:
    assert parse_id(value) is None
    with pytest.raises(InvalidTask, match=r"is not a UUID\. Hint: "):
        required_id(value)


def test_forked_processes_issue_no_id_twice() -> None:
    """In an interpreter of its own, because only one without threads may fork."""
    ran = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import issue_in_forks; issue_in_forks(4, 2000)"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=Path(__file__).resolve().parent.parent,
        stdout=subprocess.PIPE,
        check=True,
    )
    issued = ran.stdout.decode().split()
    assert len(issued) == 10_000
    assert len(set(issued)) == 10_000
    assert all(is_ours(uuid.UUID(text)) for text in issued[::500])


def issue_in_forks(children: int, count: int) -> None:
    """Print ids that this process and forks of it issue at the same time."""
    new_id()  # whatever state the generator keeps is inherited
    barrier = get_context("fork").Barrier(children + 1)
    pids = []
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            break
        pids.append(pid)
    barrier.wait(10)
    ids = "\n".join(str(new_id()) for _ in range(count))
    for pid in pids if len(pids) == children else []:
        assert os.waitpid(pid, 0)[1] == 0
    sys.stdout.write(ids + "\n")
    sys.stdout.flush()
