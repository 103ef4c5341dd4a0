"""What an error of the database says about the next try. It tells by code, where a driver has codes."""

from __future__ import annotations

from django.db import Error, InterfaceError, OperationalError

#: Whatever a database or the way to it may raise.
TROUBLE = (Error, OSError)

# Serialisation failure, deadlock, a lock that was not to be had in time.
_PASSING_STATES = frozenset({"40001", "40P01", "55P03"})
_PASSING_NUMBERS = frozenset({1020, 1205, 1213})

# PostgreSQL's "program limit exceeded".
_LIMITS = "54"
# Of the session, although their class says otherwise: it is read-only, or what it has prepared is out of date
# ("cached plan must not change result type"), gone, or there twice.
_OF_SESSION = frozenset({"25006", "0A000", "26000", "42P05"})
# MariaDB's packet limit, and SIGNAL in a trigger: both come as OperationalError.
_OF_DATA_NUMBERS = frozenset({1153, 1644})


def passes_by_itself(error: BaseException) -> bool:
    """Whether the same transaction is likely to succeed if it is simply tried again."""
    state, number = _codes(error)
    locked = isinstance(error, OperationalError) and "is locked" in str(error)  # SQLite
    return state in _PASSING_STATES or number in _PASSING_NUMBERS or locked


def may_be_the_data_s(error: BaseException) -> bool:
    """Whether it may come from what was to be written, rather than from the database's condition."""
    state, number = _codes(error)
    if isinstance(error, OperationalError | InterfaceError):
        return state[:2] == _LIMITS or number in _OF_DATA_NUMBERS
    return (
        state not in _OF_SESSION and not passes_by_itself(error) and not isinstance(error, OSError)
    )


def _codes(error: BaseException) -> tuple[str, int]:
    """SQLSTATE and error number of the driver's exception, which Django's wraps."""
    cause = error.__cause__ or error
    number = cause.args[0] if cause.args and isinstance(cause.args[0], int) else 0
    return getattr(cause, "sqlstate", None) or "", number
