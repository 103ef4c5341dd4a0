"""``--logfile``: what is logged, in a file that others may move away, and what happens where that fails."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.management.expansions import expanded
from django_tasktrack.management.logfile import LogfileError, to_file
from tests.management.test_logs import bare_root


@contextmanager
def logging_to(path: Path, level: str | None = None) -> Iterator[None]:
    """What is logged goes there, in a process of which nobody has configured the logging."""
    with bare_root() as root:
        to_file(str(path), level)
        try:
            yield
        finally:
            for handler in root.handlers:
                handler.close()


def log(text: str) -> None:
    logging.getLogger("invoices").info(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder / "worker.log"


def lines(path: Path) -> list[str]:
    return [line.rpartition("] ")[2] for line in path.read_text().splitlines()]


def test_it_is_continued(path: Path) -> None:
    path.write_text("before\n")
    with logging_to(path):
        log("a\nb")
        logging.getLogger("invoices").debug("unseen")
    assert lines(path) == ["before", "a\\nb"]


def test_level_is_everybody_s(path: Path) -> None:
    with logging_to(path, "WARNING"):
        log("unseen")
        logging.getLogger("invoices").warning("seen")
    assert lines(path) == ["seen"]


def test_what_the_project_has_configured_stays(path: Path) -> None:
    theirs = logging.NullHandler()
    with bare_root() as root:
        root.addHandler(theirs)
        root.setLevel(logging.ERROR)
        to_file(str(path), "DEBUG")
        assert root.handlers[0] is theirs
        assert root.level == logging.ERROR
        root.handlers.pop().close()


def test_records_that_the_project_keeps_from_the_root_come_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = logging.getLogger("django_tasktrack")
    monkeypatch.setattr(own, "propagate", False)
    monkeypatch.setattr(own, "handlers", [])
    with logging_to(path, "INFO"):
        logging.getLogger("django_tasktrack.worker").warning("ours")
    assert lines(path) == ["ours"]


def test_file_that_was_moved_away_is_made_anew(path: Path) -> None:
    with logging_to(path):
        log("first")
        path.rename(path.with_suffix(".1"))
        log("second")
    assert (lines(path.with_suffix(".1")), lines(path)) == (["first"], ["second"])


def test_file_that_cannot_be_made_anew_breaks_nothing(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(path):
        path.unlink()
        path.parent.rmdir()
        for text in ("first", "second"):
            log(text)
        err = capsys.readouterr().err
        assert err.count(f"The logfile {path} cannot be written: No such file or directory.") == 1
        assert [line.rpartition("] ")[2] for line in err.splitlines()[1:]] == ["first", "second"]
        path.parent.mkdir()
        log("third")
        assert lines(path) == ["third"]
        assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux's")
def test_full_disk_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(Path("/dev/full")):
        for text in ("first", "second"):
            log(text)
        err = capsys.readouterr().err
        assert err.count("The logfile /dev/full cannot be written: No space left on device.") == 1
        assert [line.rpartition("] ")[2] for line in err.splitlines()[1:]] == ["first", "second"]
        with suppress(OSError):  # what could not be written is still there
            logging.getLogger().handlers[0].close()


@pytest.mark.parametrize("name", ["", "none/such.log"])
def test_file_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with bare_root() as root:
        with pytest.raises(LogfileError, match="cannot be written"):
            to_file(str(tmp_path / name), None)
        assert root.handlers == []
    with pytest.raises(CommandError, match="cannot be written") as caught:
        call_command("worker", "--logfile", str(tmp_path / name))
    assert caught.value.returncode == 2


def test_letters_stand_for_the_worker_and_its_host() -> None:
    host = socket.gethostname()
    assert expanded("/log/%n-%p-%h%I.%i.100%%", "mail@app-1", "--logfile") == (
        f"/log/mail-mail@app-1-{host}.0.100%"
    )
    assert expanded("/log/%d", "mail@app-1", "--logfile") == f"/log/{host.partition('.')[2]}"


@pytest.mark.parametrize(("template", "what"), [("/log/%x", "'%x'"), ("/log/%", "'%'")])
def test_letters_that_mean_nothing_are_refused(template: str, what: str) -> None:
    with pytest.raises(InvalidTask, match=f"--pidfile .*: {what} means nothing"):
        expanded(template, "mail@app-1", "--pidfile")
