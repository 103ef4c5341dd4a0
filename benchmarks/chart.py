"""The figures as bars, in one SVG: each system's median, and its ratio to the reference. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.catalogue import CONTENDERS
from benchmarks.goals import number
from benchmarks.report import of, ratio
from benchmarks.runner import Result
from benchmarks.statistics import interval

_WIDTH, _LABELS, _BARS = 980, 370, 400
_ROW, _HEAD, _GAP = 22, 34, 18
_OURS, _FLOOR, _PEER = "#2a6f97", "#9aa5b1", "#e09f3e"
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2933}.title{font-weight:600;font-size:15px}"
    "@media (prefers-color-scheme:dark){text{fill:#e4e7eb}}"
)


def svg(results: Sequence[Result]) -> str:
    """One panel for each figure that has values."""
    panels: list[str] = []
    top = _GAP
    for result in results:
        bars = _bars(result)
        if bars:
            panels += _panel(result, bars, top)
            top += _HEAD + _ROW * len(bars) + _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}"'
        f' width="{_WIDTH}" height="{top}" role="img">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *panels, "</svg>"]) + "\n"


def _bars(result: Result) -> list[tuple[str, float]]:
    """Systems and the medians of the figure's first value, the best first."""
    key = next(iter(result.figure.columns))
    found = []
    for name in result.samples:
        values = [value for value in of(result, name, key) if value is not None]
        if values:
            found.append((name, interval(values).median))
    return sorted(found, key=lambda bar: bar[1], reverse=not result.figure.less_is_better)


def _panel(result: Result, bars: Sequence[tuple[str, float]], top: int) -> list[str]:
    unit = next(iter(result.figure.columns.values()))
    longest = max(value for _, value in bars) or 1.0
    lines = [_text(10, top + 16, f"{result.figure.title} ({unit})", "title")]
    for row, (name, value) in enumerate(bars):
        y = top + _HEAD + _ROW * row
        width = max(1.0, _BARS * value / longest)
        lines.append(_text(10, y + 13, CONTENDERS[name].title))
        lines.append(
            f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_ROW - 6}"'
            f' rx="2" fill="{_colour(name)}"/>'
        )
        lines.append(_text(_LABELS + width + 8, y + 13, _label(name, value, result)))
    return lines


def _label(name: str, value: float, result: Result) -> str:
    found = ratio(name, result)
    return number(value) if found is None else f"{number(value)}  ·  {number(found)} ×"


def _colour(name: str) -> str:
    if name.startswith("tasktrack"):
        return _OURS
    return _FLOOR if name.startswith("raw") else _PEER


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{marked}>{escape(text)}</text>'
