"""A TCP proxy before the database's server, for networks that do what networks do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from django.db import connection

#: How the server's reply ends once a statement or COMMIT is done, outside of a transaction.
_READY = b"Z\x00\x00\x00\x05I"


class Proxy:
    """Forwards, until told otherwise.

    Attributes:
        port: where it listens, on 127.0.0.1.
        swallow: whether all that comes is acknowledged and goes nowhere.
        delay: seconds that each piece is held back.
        dropped: how many replies have been dropped.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self.swallow = False
        self.delay = 0.0
        self.dropped = 0
        self._server = server
        self._doomed: Callable[[bytes], bool] | None = None
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def url(self) -> str:
        """The test database through this proxy."""
        settings = connection.settings_dict
        name, user = quote(str(settings["NAME"])), quote(str(settings["USER"] or "postgres"))
        return f"postgres://{user}@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def reset(self) -> None:
        """Cut every connection, with RST."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.cut()

    def drop_replies_to(self, doomed: Callable[[bytes], bool] | None) -> None:
        """Let the server do what a client asks for, and cut the connection instead of its reply.

        Args:
            doomed: says of what a client sends whether its reply is dropped; None ends it.
        """
        self._doomed = doomed

    def close(self) -> None:
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = _dial(self._server)
        except OSError:
            client.close()
            return
        link = _Link(self, client, server)
        with self._lock:
            self._links.add(link)
        link.run()
        with self._lock:
            self._links.discard(link)

    def is_doomed(self, data: bytes) -> bool:
        doomed = self._doomed
        return doomed is not None and doomed(data)


class _Link:
    """One client and its session."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._doomed = False

    def run(self) -> None:
        answers = threading.Thread(target=self._pass_answers, daemon=True)
        answers.start()
        self._pump(self._client, self._server, self._on_question)
        answers.join()

    def _pass_answers(self) -> None:
        self._pump(self._server, self._client, self._on_answer)

    def _pump(
        self, source: socket.socket, target: socket.socket, on_data: Callable[[bytes], bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._proxy.swallow:
                    continue
                if self._proxy.delay:
                    time.sleep(self._proxy.delay)
                target.sendall(on_data(data))
        self.cut()

    def _on_question(self, data: bytes) -> bytes:
        self._doomed = self._doomed or self._proxy.is_doomed(data)
        return data

    def _on_answer(self, data: bytes) -> bytes:
        if not self._doomed:
            return data
        if data.endswith(_READY):
            self._proxy.dropped += 1
            raise OSError("This reply is dropped.")
        return b""

    def cut(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, 0 s: RST
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                end.shutdown(socket.SHUT_RD)
            end.close()


def _dial(server: tuple[str, int]) -> socket.socket:
    host, port = server
    if not host.startswith("/"):
        return socket.create_connection(server)
    local = socket.socket(socket.AF_UNIX)
    local.connect(f"{host}/.s.PGSQL.{port}")
    return local


@contextmanager
def proxy() -> Iterator[Proxy]:
    """A proxy before the server of the test database."""
    connection.ensure_connection()
    info = connection.connection.info
    running = Proxy((info.host, info.port))
    try:
        yield running
    finally:
        running.close()
