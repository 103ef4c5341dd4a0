"""Lengths of time and counts as people read them, on pages and in the terminal alike."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _


def span(length: timedelta) -> str:
    """A length of time in words, with two units at most."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 0.9995:
        return _("%(n)s ms") % {"n": round(seconds * 1000)}
    if seconds < 59.5:
        return _("%(n)s s") % {"n": f"{seconds:.1f}" if seconds < 9.95 else round(seconds)}
    whole = round(seconds)
    for unit, text in (
        (86400, _("%(a)s d %(b)s h")),
        (3600, _("%(a)s h %(b)s min")),
        (60, _("%(a)s min %(b)s s")),
    ):
        if whole >= unit:
            smaller = {86400: 3600, 3600: 60, 60: 1}[unit]
            return text % {"a": whole // unit, "b": whole % unit // smaller}
    return _("%(n)s s") % {"n": whole}


def period(length: timedelta) -> str:
    """A length of time that somebody has chosen: without the smaller unit where that is none."""
    larger, _gap, smaller = span(length).rpartition(" 0 ")
    return larger if larger and smaller.isalpha() else span(length)


def brief(length: timedelta) -> str:
    """A length of time in one unit, for the columns of tables: the smaller unit is left out."""
    return " ".join(span(length).split(" ")[:2])


def amount(number: float) -> str:
    """A count without needless digits."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}"


def clock(at: datetime | None) -> str:
    """A point in time, in the project's time zone."""
    if at is None:
        return ""
    local = timezone.localtime(at) if timezone.is_aware(at) else at
    return f"{local:%Y-%m-%d %H:%M:%S}"
