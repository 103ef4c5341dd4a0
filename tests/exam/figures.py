"""Many tests measure the same: what the table says of all of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")

#: Of these each one counts, however many there are.
LISTED = frozenset({"seed"})

#: Figures that a disk which has to be waited for would change.
_SPEED = re.compile(r"/s\b|p9\d|throughput|\bms\b", re.IGNORECASE)


def told(by_database: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the tests of one case have measured.

    Args:
        by_database: for each database the figures of every test that had some.
    """
    collected: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for database, tests in by_database.items():
        for figures in tests:
            for name, value in figures.items():
                collected[name][database].append(value)
    return "; ".join(
        f"{name}{'¹' if _SPEED.search(name) else ''}: {_by_database(name, values)}"
        for name, values in collected.items()
    )


def _by_database(name: str, values: Mapping[str, Sequence[Any]]) -> str:
    merged = {database: summed_up(name, many) for database, many in values.items()}
    if len(set(merged.values())) == 1:
        return next(iter(merged.values()))
    return ", ".join(f"{text} ({database})" for database, text in merged.items())


def summed_up(name: str, values: Iterable[Any]) -> str:
    """All values of one figure: up to two of them, and each seed, as they are; of more, the ranges of
    their numbers."""
    texts = list(dict.fromkeys(map(str, values)))
    if name in LISTED or len(texts) <= 2:
        return " / ".join(sorted(texts, key=_by_number))
    alike: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        alike[_NUMBER.sub("#", text)].append(text)
    return " / ".join(_range(group) for group in alike.values())


def _by_number(text: str) -> tuple[list[float], str]:
    return [_value(number) for number in _NUMBER.findall(text)], text


def _range(alike: Sequence[str]) -> str:
    """Texts that differ in their numbers alone, as one."""
    columns = zip(*(_NUMBER.findall(text) for text in alike), strict=True)
    ranges = iter([_from_to(column) for column in columns])
    return _NUMBER.sub(lambda _: next(ranges), alike[0])


def _from_to(numbers: Sequence[str]) -> str:
    least, most = min(numbers, key=_value), max(numbers, key=_value)
    return least if least == most else f"{least}–{most}"


def _value(number: str) -> float:
    return float(number.replace(",", ""))
