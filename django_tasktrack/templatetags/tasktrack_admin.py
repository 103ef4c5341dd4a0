"""Filters for the admin's templates: how single values look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import template
from django.apps import apps

from .. import words

register = template.Library()


def _filters() -> dict[str, Callable[..., Any]]:
    from ..admin import render  # its package imports the admin's models

    return {
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


# Template engines import the libraries of all apps, also in projects without the admin.
if apps.is_installed("django.contrib.admin"):
    for _name, _filter in _filters().items():
        register.filter(_name, _filter)
