"""Filters for the admin's templates: how single values look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import template

from .. import words
from ..admin import render

register = template.Library()

_FILTERS: dict[str, Callable[..., Any]] = {
    "tt_state": render.state_badge,
    "tt_badge": render.badge,
    "tt_icon": render.icon,
    "tt_condition": render.condition_badge,
    "tt_moment": render.moment,
    "tt_ago": render.ago,
    "tt_duration": render.duration,
    "tt_bar": render.bar,
    "tt_amount": words.amount,
    "tt_breakable": render.breakable,
    "tt_name": render.task_name,
    "tt_pretty": render.pretty,
    "tt_cut": render.cut,
}

for _name, _filter in _FILTERS.items():
    register.filter(_name, _filter)
