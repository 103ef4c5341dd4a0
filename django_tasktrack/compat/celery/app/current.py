"""Which application is meant where none is named: ``current_app``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Celery

_current: Celery | None = None


def set_current(app: Celery) -> None:
    """From now on this one is meant."""
    global _current  # noqa: PLW0603  as Celery has it: one for the process
    _current = app


def get_current() -> Celery:
    """The one that was made last, or that has called ``set_current()``; where there is none, a new one."""
    if _current is None:
        from .base import Celery  # it names this module

        Celery("default")
    assert _current is not None  # noqa: S101  an app that is made becomes the current one
    return _current


class _CurrentApp:
    """Stands for the current application, whichever that is; called, it returns that."""

    def _get_current_object(self) -> Celery:
        return get_current()

    def __call__(self) -> Celery:
        return get_current()

    def __getattr__(self, name: str) -> Any:
        return getattr(get_current(), name)

    def __eq__(self, other: object) -> bool:
        return get_current() is other or self is other

    def __hash__(self) -> int:
        return hash(get_current())

    def __repr__(self) -> str:
        return repr(get_current())


current_app: Any = _CurrentApp()
