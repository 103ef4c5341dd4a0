"""``python -m benchmarks.producer MODULE``: enqueues and asks for the measurements, in a process of its own.

Requests come as lines of JSON, ``{"verb": ..., "with": {...}}``, and each is answered by one line.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

import django

from benchmarks import environment
from benchmarks.systems.base import Client

#: How often it is asked whether a task that is watched has finished.
_WATCH = 0.003


class Verbs:
    """What a measurement can ask for, beside the client's own methods."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def put(self, first: int, count: int, body: str, *, bulk: bool) -> float:
        """Enqueue so many; returns the seconds that it took."""
        numbers = list(range(first, first + count))
        enqueue = self._client.bulk if bulk else self._client.enqueue_each
        began = time.monotonic()
        enqueue(numbers, body)
        return time.monotonic() - began

    def one_by_one(self, first: int, count: int, body: str, pause: float, limit: float) -> Any:
        """Enqueue each when the one before has run; returns (number, time of the call) of each."""
        path, calls = environment.required(environment.MARKS), []
        deadline = time.monotonic() + limit
        for number in range(first, first + count):
            ran = _size(path)
            # Pauses of different lengths, so that a worker that polls is met at any moment.
            time.sleep(pause * (0.5 + number * 0.618 % 1))
            if time.monotonic() > deadline:
                break
            calls.append((number, time.monotonic()))
            self._client.enqueue(number, body)
            while _size(path) == ran and time.monotonic() < deadline:
                time.sleep(0.0005)
        return calls

    def offer(
        self,
        *,
        first: int,
        rate: float,
        seconds: float,
        body: str,
        watch_every: int,
        probe: str = "",
        probe_every: int = 1,
    ) -> Any:
        """Enqueue at a steady rate.

        Args:
            first: number of the first task.
            rate: tasks a second.
            seconds: how long.
            body: of the tasks.
            watch_every: the end of every so many-th task is watched, where the store can be asked.
            probe: a method of the client that is called, too.
            probe_every: with every so many-th task.

        Returns:
            "calls": (number, time of the call) of each; "finished": (number, time at which the store
            said so) of those that were watched; "probes": seconds of each call of ``probe``.
        """
        watcher = _Watcher(self._client)
        calls: list[tuple[int, float]] = []
        probes: list[float] = []
        began = time.monotonic()
        for step in range(int(rate * seconds)):
            wait = began + step / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            number = first + step
            calls.append((number, time.monotonic()))
            handle = self._client.enqueue(number, body)
            if watch_every and step % watch_every == 0:
                watcher.watch(number, handle)
            if probe and step % probe_every == 0:
                probes.append(_seconds(getattr(self._client, probe)))
        return {"calls": calls, "finished": watcher.end(), "probes": probes}


class _Watcher:
    """Asks the store about single tasks until they have finished, in a thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._new: queue.Queue[tuple[int, Any] | None] = queue.Queue()
        self._finished: list[tuple[int, float]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def watch(self, number: int, handle: Any) -> None:
        self._new.put((number, handle))

    def end(self) -> list[tuple[int, float]]:
        """What was seen to finish; waits for the rest, but not for ever."""
        self._new.put(None)
        self._thread.join(20)
        return list(self._finished)

    def _run(self) -> None:
        while (one := self._new.get()) is not None:
            number, handle = one
            try:
                while not self._client.is_finished(handle):
                    time.sleep(_WATCH)
            except NotImplementedError:
                return
            self._finished.append((number, time.monotonic()))
        self._client.rest()


def _seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116  called thousands of times
    except FileNotFoundError:
        return 0


def serve(client: Client, requests: TextIO, answers: TextIO) -> None:
    """Answer until there are no more requests."""
    verbs = Verbs(client)
    for line in requests:
        request = json.loads(line)
        verb = getattr(verbs, request["verb"], None) or getattr(client, request["verb"])
        try:
            answer = {"answer": verb(**request["with"])}
        except Exception as error:  # noqa: BLE001  whatever a system raises is its result
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    # What systems print goes to the log, not between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        django.setup()
    module = importlib.import_module(f"benchmarks.systems.{sys.argv[1]}")
    serve(module.CLIENT(), sys.stdin, answers)


if __name__ == "__main__":
    main()
