"""The documents tell of the settings that exist, with their defaults' names spelt right."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import BaseCommand, load_command_class

from django_tasktrack.conf import Config
from django_tasktrack.declaration import CALL_OPTIONS
from django_tasktrack.management.tasktrack import VERBS
from django_tasktrack.task_options import OPTION_NAMES
from django_tasktrack.transitions import Answer

ROOT = Path(__file__).resolve().parent.parent


def test_every_setting_is_documented_and_no_other() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([A-Z_]+)`", rows)) == {field.name for field in fields(Config)}


PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def table(page: str, head: str) -> set[str]:
    """The words in code of the first column of the table whose head begins with ``head``."""
    _, _, rest = (ROOT / page).read_text().partition(f"\n| {head} ")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_every_option_of_tasks_and_calls_is_documented_and_no_other() -> None:
    assert table("docs/tasks.md", "option of `@task`") == set(OPTION_NAMES)
    assert table("docs/tasks.md", "option of `apply_async`") == set(CALL_OPTIONS)


def test_every_answer_to_revoke_is_documented() -> None:
    told = {word.strip('"') for word in table("docs/tasks.md", "`revoke()` answers")}
    assert told == set(Answer) - {Answer.QUEUED}


def test_every_verb_is_documented_and_no_other() -> None:
    told = {words.split()[0] for words in table("docs/operating.md", "verb")}
    assert told == {verb.name for verb in VERBS}


def test_options_of_the_worker_are_documented() -> None:
    text = (ROOT / "docs/tasks.md").read_text()
    parser = load_command_class("django_tasktrack", "worker").create_parser("manage.py", "worker")
    django = {option for action in BaseCommand().create_parser("", "")._actions
              for option in action.option_strings}  # fmt: skip
    ours = [action for action in parser._actions if not django & set(action.option_strings)]
    assert len(ours) > 10
    assert [a.dest for a in ours if not any(f"[{o}" in text for o in a.option_strings)] == []
