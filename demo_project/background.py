"""A management command that runs beside another one, with its output in a file."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
#: More than the worker gives its running tasks.
_PATIENCE = 40.0


def manage(*args: str) -> list[str]:
    """The command line of a management command."""
    return [sys.executable, str(ROOT / "manage.py"), *args]


class Failed(Exception):
    """Something ended otherwise than it should; tells the last lines of what ran beside it."""

    def __init__(self, problem: str, beside: Sequence[Background] = ()) -> None:
        super().__init__(problem)
        self._beside = beside

    def told(self) -> str:
        parts = [str(self)]
        parts += [f"The end of {other.log.name}:\n\n{other.tail()}" for other in self._beside]
        return "\n".join(parts)


class Background:
    """Runs a management command for as long as a block, and ends it by SIGTERM.

    Args:
        name: of its log file.
        args: the command and its options.
    """

    def __init__(self, name: str, *args: str) -> None:
        self.log = ROOT / f"demo-{name}.log"
        self._name = name
        with self.log.open("wb") as output:
            # A session of its own: Ctrl-C reaches this program alone, which then ends it in order.
            self._process = subprocess.Popen(
                manage(*args),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is KeyboardInterrupt:
            print(f"\nStopping the {self._name} ...", flush=True)
        # Once lets running tasks end. Who has pressed Ctrl-C wants it now, which takes twice.
        code = self._end(_PATIENCE) if error is None else self._end(1.5, _PATIENCE)
        if code and error is None:
            raise Failed(f"The {self._name} ended with code {code}.", [self])

    def _end(self, *patience: float) -> int:
        """Its exit code, after a SIGTERM for each of the times that it gets to end."""
        with suppress(KeyboardInterrupt):  # Ctrl-C once more: at once
            for seconds in patience:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    return self._process.wait(seconds)
        self._process.kill()
        return self._process.wait()

    def check(self) -> None:
        """Raise ``Failed`` if it has ended."""
        if self._process.poll() is not None:
            raise Failed(f"The {self._name} has ended by itself.", [self])

    def tail(self, lines: int = 30) -> str:
        """The last lines of its log."""
        with self.log.open(errors="replace") as log:
            return "".join(deque(log, maxlen=lines))
