"""Messages over a socket, however they are cut."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator

import pytest

from django_tasktrack.pools.link import Link


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Link]]:
    """A bare end to write to, and a link that reads."""
    bare, linked = socket.socketpair()
    with bare, linked:
        yield bare, Link(linked)


def framed(message: object) -> bytes:
    data = pickle.dumps(message)
    return struct.pack("!I", len(data)) + data


def test_many_messages_come_in_one_read(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    bare.sendall(framed(1) + framed("two") + framed([3]))
    assert link.receive() == [1, "two", [3]]
    assert link.receive(wait=False) == []


def test_a_message_may_come_byte_by_byte(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    data = framed({"a": 1}) + framed(2)
    got = []
    for byte in data:
        bare.sendall(bytes([byte]))
        got += link.receive(wait=False)
    assert got == [{"a": 1}, 2]


def test_what_was_sent_before_the_end_is_read_before_it(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    bare.sendall(framed("last words") + framed("cut")[:3])
    bare.close()
    assert link.receive() == ["last words"]
    with pytest.raises(EOFError):
        link.receive()


@pytest.mark.parametrize("noise", [b"hello, world\n", struct.pack("!I", 3) + b"abc"])
def test_noise_is_an_error(noise: bytes, ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    bare.sendall(noise)
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        link.receive()


def test_long_message_arrives_whole(ends: tuple[socket.socket, Link]) -> None:
    bare, link = ends
    other = Link(bare)
    link_message = "x" * 150_000
    other.send(link_message)
    assert link.receive() == [link_message]
