"""The stream between a worker and a child: messages in pieces, in heaps, and what is none."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Iterator

import pytest

from django_tasktrack.pools.link import Link


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Link]]:
    """A bare end, and a link at the other."""
    bare, other = socket.socketpair()
    link = Link(other)
    with bare:
        yield bare, link
    link.close()


def packed(message: object) -> bytes:
    body = pickle.dumps(message)
    return struct.pack("!I", len(body)) + body


def test_many_messages_come_at_once(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    assert list(link.receive()) == []
    bare.sendall(b"".join(packed(number) for number in range(100)))
    assert list(link.receive()) == list(range(100))


def test_a_message_that_comes_in_pieces_is_one(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    whole = packed("x" * 300_000)
    received: list[str] = []
    for start in range(0, len(whole), 50_000):
        assert not received
        bare.sendall(whole[start : start + 50_000])
        received += link.receive()
    assert received == ["x" * 300_000]


def test_more_than_one_read_holds_is_read_to_its_end(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    bare.sendall(b"".join(packed("x" * 1000) for _ in range(150)))
    assert len(list(link.receive())) == 150


def test_what_nobody_has_asked_for_yet_comes_later(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    bare.sendall(packed("first") + packed("second"))
    assert next(link.receive()) == "first"
    assert list(link.receive()) == ["second"]


@pytest.mark.parametrize(
    "nonsense", [b"\xff" * 100, struct.pack("!I", 5) + b"hello"], ids=["length", "content"]
)
def test_what_came_before_nonsense_counts(
    ends: tuple[socket.socket, Link], nonsense: bytes
) -> None:
    bare, link = ends
    bare.sendall(packed("sense") + nonsense)
    messages = link.receive()
    assert next(messages) == "sense"
    with pytest.raises(Exception, match=r"4,294,967,295 bytes|Memo value"):
        next(messages)


def test_the_last_words_of_one_that_is_gone_are_heard(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    bare.sendall(packed("last"))
    bare.close()
    assert list(link.receive()) == ["last"]
    with pytest.raises(EOFError):
        next(link.receive())


def test_both_ends_speak() -> None:
    one, other = map(Link, socket.socketpair())
    one.send({"a": os.getpid()})
    assert list(other.receive()) == [{"a": os.getpid()}]
    other.send(None)
    assert list(one.receive()) == [None]
    one.close()
    other.close()
