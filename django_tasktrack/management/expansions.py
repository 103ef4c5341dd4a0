"""``%`` and a letter in the names of a worker's files, as Celery writes them."""

from __future__ import annotations

import re
import socket

from ..exceptions import InvalidTask

_HINT = "Known: of mail@app-1 %n is mail, %p the whole; %h is the host, %d its domain; %% a percent sign."


def expanded(template: str, name: str, option: str) -> str:
    """A file's name with what ``%`` and a letter stand for.

    Args:
        template: as it was given.
        name: the worker's, with the host in it.
        option: that gave it, for the error.

    Raises:
        InvalidTask: a letter means nothing.
    """
    host = socket.gethostname()
    means = {
        "n": name.partition("@")[0],
        "p": name,
        "h": host,
        "d": host.partition(".")[2],
        # The number of a child in Celery; as of its main process here: all share one file.
        "i": "0",
        "I": "",
        "%": "%",
    }

    def meaning(match: re.Match[str]) -> str:
        if match[1] not in means:
            raise InvalidTask(f"{option} {template!r}: {match[0]!r} means nothing.", hint=_HINT)
        return means[match[1]]

    return re.sub(r"%(.?)", meaning, template, flags=re.DOTALL)
