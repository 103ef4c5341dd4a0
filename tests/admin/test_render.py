"""Single values as people read them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django_tasktrack.admin import render
from django_tasktrack.models import Goal
from django_tasktrack.serializers import serialize_with
from django_tasktrack.states import State


def test_a_moment_is_a_clock_today_and_a_date_before() -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert ">11:00:00<" in render.moment(now - timedelta(hours=1), now)
    assert ">2026-03-02 12:00<" in render.moment(now - timedelta(days=2), now)
    assert 'datetime="2026-03-04T11:00:00+00:00"' in render.moment(now - timedelta(hours=1), now)


def test_every_state_has_an_icon_and_its_word() -> None:
    for word in [*State, *Goal.State, "alive", "stopped", "lost"]:
        html = render.badge(word)
        assert "<svg" in html
        assert f"<span>{word}</span>" in html


def test_short_json_is_one_line_and_long_text_is_cut() -> None:
    assert render.pretty({"a": [1, 2]}) == '{"a": [1, 2]}'
    assert render.pretty({"a": "x" * 80}).count("\n") == 2


def test_tagged_values_are_shown_as_plain_ones() -> None:
    text = serialize_with("tagged")([Decimal("9.90"), {date(2026, 5, 1): (1, b"x")}], "args")
    assert render.pretty(json.loads(text)) == '["9.90", {"2026-05-01": [1, "eA=="]}]'
    assert "5 characters more" in render.cut("x" * 15, 10)


def test_names_break_between_words_and_stay_escaped() -> None:
    assert render.breakable("a.b_c") == "a.<wbr>b_<wbr>c"
    assert render.breakable("<b>") == "&lt;b&gt;"
