"""The tables, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.catalogue import CONTENDERS
from benchmarks.goals import Judged, judge, number
from benchmarks.runner import Result
from benchmarks.statistics import interval, ratios

BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"


def markdown(head: Mapping[str, str], results: Sequence[Result]) -> str:
    """The whole report."""
    lines = ["| measured on | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in head.items()]
    lines += ["", *_goals(results)]
    for result in results:
        lines += ["", *_figure(result)]
    return "\n".join(lines) + "\n"


def _goals(results: Sequence[Result]) -> list[str]:
    """One line a goal, of all figures."""
    rows = [
        f"| {result.figure.name} | {judged.goal.text} | {_cell(_outcome(judged))} |"
        for result in results
        for judged in judge_all(result)
    ]
    reached = sum(judged.reached is True for result in results for judged in judge_all(result))
    told = f"{reached} of {len(rows)} goals are reached."
    return [told, "", "| figure | goal | |", "| --- | --- | --- |", *rows] if rows else []


def judge_all(result: Result) -> list[Judged]:
    """Each goal of the figure that was asked about, in order."""
    return [
        judge(goal, result.samples) for goal in result.figure.goals if goal.of in result.samples
    ]


def _outcome(judged: Judged) -> str:
    if judged.measured is None:
        return judged.said
    said = judged.said if judged.reached else f"**{judged.said}**"
    low, high = number(judged.measured.low), number(judged.measured.high)
    return said if low == high else f"{said} ({low} – {high})"


def _figure(result: Result) -> list[str]:
    figure = result.figure
    rounds = max((len(values) for values in result.samples.values()), default=0)
    lines = [f"### {figure.title}", ""]
    lines.append(
        f"`{figure.name}`: {_rounds(rounds)}; load before {result.load:.2f}, seed {result.seed}."
    )
    if figure.notes:
        lines[-1] += f" {figure.notes}"
    heads = [*figure.columns.values(), f"{_main_head(result)} over {figure.reference}"]
    lines += ["", "| system | | " + " | ".join(heads) + " |"]
    lines.append("| --- | --- |" + " ---: |" * len(heads))
    lines += [_row(name, result) for name in result.samples]
    return lines


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"medians of {count} rounds, with their intervals"


def _main_head(result: Result) -> str:
    return next(iter(result.figure.columns.values()))


def _row(name: str, result: Result) -> str:
    title, columns = CONTENDERS[name].title, result.figure.columns
    if name in result.why_not:
        empty = " |" * len(columns)
        return f"| {name} | {title} | {_cell(result.why_not[name])} |{empty}"
    cells = [_interval(of(result, name, key)) for key in columns]
    return f"| {name} | {title} | {' | '.join([*cells, _ratio(name, result)])} |"


def of(result: Result, name: str, key: str) -> list[float | None]:
    """One value of a contender, round by round."""
    return [one.get(key) if one else None for one in result.samples.get(name, [])]


def _interval(values: Sequence[float | None]) -> str:
    found = [value for value in values if value is not None]
    if not found:
        return "–"
    told = interval(found)
    low, high = number(told.low), number(told.high)
    return number(told.median) if low == high else f"{number(told.median)} ({low} – {high})"


def ratio(name: str, result: Result) -> float | None:
    """The median of a contender's first value over the reference's, in the same rounds."""
    key = next(iter(result.figure.columns))
    found = ratios(of(result, name, key), of(result, result.figure.reference, key))
    return interval(found).median if found else None


def _ratio(name: str, result: Result) -> str:
    found = ratio(name, result)
    return "–" if found is None else f"{number(found)} ×"


def _cell(text: str) -> str:
    """Text that does not end its cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def published(document: str, text: str) -> str:
    """The document with the report between its markers.

    Raises:
        ValueError: it has no such markers.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"There is no {BEGIN.strip()} and {END.strip()} in the document.")
    return f"{head}{BEGIN}\n{text}\n{END}{tail}"
