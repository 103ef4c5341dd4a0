"""``app.conf``: settings under Celery's names, which count as if they stood in ``TASKTRACK``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .... import celery_names, conf
from ....conf import Entry
from .sources import Read


class Settings(MutableMapping[str, Any]):
    """The settings of one application: as a dict, and as attributes.

    What is given here is read as if it stood in ``TASKTRACK``; where that says something else, it is an error that
    names both. What is asked for is what is in force.

    Args:
        holder: how messages call it.
    """

    def __init__(self, holder: str) -> None:
        vars(self).update(_holder=holder, _given={}, _read=None, _warned=False)

    # Giving

    def take(self, values: Mapping[str, Any]) -> None:
        """Give settings.

        Raises:
            ImproperlyConfigured: one of them is none that there is. Values are judged when Django is ready, by
                ``manage.py check``, because those of other places count too.
        """
        for name in values:
            if not conf.exists(name):
                hint = conf.nearest_name(name)
                raise ImproperlyConfigured(f"{self._holder} has no setting {name!r}. Hint: {hint}")
        self._given.update({_key(name): Entry(self._holder, name, values[name]) for name in values})
        conf.forget()
        needless = [name for name, value in values.items() if celery_names.is_needless(name, value)]
        if needless and not self._warned:
            vars(self)["_warned"] = True
            warnings.warn(
                f"{self._holder}: {' and '.join(needless)} without effect. The database is the broker and the"
                " result backend.",
                UserWarning,
                stacklevel=3,
            )

    def read_from(self, read: Read) -> None:
        """Read settings from an object whenever they are asked for; what is given here goes before them."""
        vars(self)["_read"] = read
        conf.forget()

    def update(self, *args: Any, **values: Any) -> None:
        """Give several: a dict, pairs, or by name."""
        self.take(dict(*args, **values))

    def __setitem__(self, name: str, value: Any) -> None:
        self.take({name: value})

    def __setattr__(self, name: str, value: Any) -> None:
        self.take({name: value})

    def __delitem__(self, name: str) -> None:
        del self._given[_key(name)]
        conf.forget()

    def clear(self) -> None:
        """Forget all that was given here."""
        self._given.clear()
        vars(self)["_read"] = None
        conf.forget()

    def entries(self) -> Iterable[Entry]:
        """What is given here: a source of ``conf``."""
        read = self._read() if self._read else {}
        told = {_key(name): Entry(self._holder, name, value) for name, value in read.items()}
        both: dict[str, Entry] = told | self._given
        return both.values()

    # Asking

    def __getitem__(self, name: str) -> Any:
        if not conf.exists(name):
            raise KeyError(
                f"{self._holder} has no setting {name!r}. Hint: {conf.nearest_name(name)}"
            )
        own = {_key(entry.name): entry for entry in self.entries()}.get(_key(name))
        value = _in_force(name) if own is None else own.value
        if value is None and _key(name) == "beat_schedule":  # as Celery's, which code adds to
            value = {}
            if not conf.problems():  # else one of them may hide what stands elsewhere
                self.take({"beat_schedule": value})
        return value

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(celery_names.NAMES))

    def __len__(self) -> int:
        return len(celery_names.NAMES)

    def __repr__(self) -> str:
        return f"<{self._holder}>"


def _key(name: str) -> str:
    """One name for both of Celery's spellings."""
    return celery_names.celery_name(name) or name


def _in_force(name: str) -> Any:
    """What a setting is that was not given here; None for one that changes nothing."""
    found = celery_names.celery_name(name)
    if found is None:
        return getattr(conf.at_declaration(), name)
    if found in celery_names.EFFECTIVE:
        ours, _ = celery_names.EFFECTIVE[found]
        return getattr(conf.at_declaration(), ours)
    if found in celery_names.ONLY:
        return celery_names.ONLY[found][0]
    return {"timezone": settings.TIME_ZONE, "enable_utc": settings.USE_TZ}.get(found)
