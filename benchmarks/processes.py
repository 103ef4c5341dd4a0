"""Processes that are started here, and ended in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.failure import Failed

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without a terminal starts background jobs so, and the workers would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Started:
    """A process in a session of its own, with all that it starts."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def check(self) -> None:
        """Raise Failed if it has ended by itself."""
        if self.process.poll() is not None:
            raise Failed(f"A process ended with {self.process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it said."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][-300:] if lines else "it said nothing"

    def tree(self) -> list[psutil.Process]:
        """The living processes of its session; orphans belong to it too."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            mine = os.getsid(process.pid) == self.process.pid
            return mine and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            return False

    def end(self, patience: float = 15.0) -> None:
        """Ask it to end; whatever is left after ``patience`` seconds is killed."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        deadline = time.monotonic() + 10
        while (left := self.tree()) and time.monotonic() < deadline:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], log: Path, **pipes: int
) -> Iterator[Started]:
    """A process that ends with the block.

    Args:
        command: program and arguments.
        environment: all of its variables.
        log: file for what it says.
        pipes: of ``Popen``, where it is spoken with.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  commands of the catalogue
            command,
            cwd=log.parent,
            env=dict(environment),
            stdin=pipes.get("stdin", subprocess.DEVNULL),
            stdout=pipes.get("stdout", output),
            stderr=output,
            start_new_session=True,
        )
    one = Started(process, log)
    try:
        yield one
    finally:
        one.end()
