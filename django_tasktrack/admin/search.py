"""The search box: ``id: task: queue: state: worker: owner:``, a bare id, or a word of the task's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, Value
from django.db.models.functions import Lower
from django.db.models.lookups import Contains
from django.utils.translation import gettext as _

from ..ids import bounds, is_ours, parse_id
from ..models import PurgeHorizon, TrackedTask, Worker
from ..querysets import TaskQuerySet
from ..states import State

_QUALIFIERS = ("id", "task", "queue", "state", "worker", "owner")
_UNKNOWN = re.compile(r"([^\W\d]\w*):.")
_TERMS = 10
_STATES = frozenset(State)


@dataclass(frozen=True, slots=True)
class Term:
    """One word of the search and what it is about."""

    about: str
    value: str


def parse(text: str) -> list[Term]:
    """The words of a search. An unknown qualifier is part of the word."""
    terms = []
    for word in text.replace("\x00", "").split()[:_TERMS]:
        about, colon, value = word.partition(":")
        if colon and about.lower() in _QUALIFIERS:
            terms.append(Term(about.lower(), value))
        else:
            terms.append(Term("id" if parse_id(word) else "task", word))
    return [term for term in terms if term.value]


def search_tasks(tasks: TaskQuerySet, text: str) -> TaskQuerySet:
    """The tasks that every word of the search fits."""
    for term in parse(text):
        tasks = _narrow(tasks, term)
    return tasks


def _narrow(tasks: TaskQuerySet, term: Term) -> TaskQuerySet:
    if term.about == "id":
        meant = bounds(term.value)
        return tasks.filter(pk__range=meant) if meant else tasks.none()
    if term.about == "queue":
        return tasks.filter(queue=term.value)
    if term.about == "state":
        return tasks.in_state(term.value.upper())
    if term.about == "owner":
        return tasks.filter(owner=term.value)
    if term.about == "worker":
        named = Worker.objects.filter(name__icontains=term.value).order_by("-pk")
        return tasks.filter(worker_id__in=list(named.values_list("pk", flat=True)[:500]))
    return tasks.filter(holds("name", term.value))


def holds(column: str, text: str) -> Q:
    """That the text occurs in an exact column, in whatever case: ``icontains`` follows the column's
    collation on MariaDB and MySQL, and there names that differ in case are two names."""
    return Q(Contains(Lower(column), Lower(Value(text))))


def explain_nothing(text: str) -> str:
    """Why a search found no task, where that can be told: a word that means nothing, or an id."""
    terms = parse(text)
    for term in terms:
        if term.about == "state" and term.value.upper() not in _STATES:
            given = {"state": term.value, "known": ", ".join(State)}
            return _("“%(state)s” is no state. Known: %(known)s.") % given
        if term.about == "task" and (unknown := _UNKNOWN.match(term.value)):
            given = {"word": unknown[1], "known": " ".join(f"{word}:" for word in _QUALIFIERS)}
            return _("Unknown word “%(word)s:”. Known: %(known)s") % given
    ids = [term.value for term in terms if term.about == "id"]
    return _explain_id(ids[0]) if ids else ""


def _explain_id(text: str) -> str:
    task_id = parse_id(text)
    if task_id is None:
        return _("An id is 32 hexadecimal digits; its first eight or more will do.")
    return why_missing(task_id)


def why_missing(task_id: UUID) -> str:
    """What can be said of an id without a row: EXPIRED and UNKNOWN are two answers."""
    if TrackedTask.objects.many([task_id]).exists():
        return ""
    horizon = PurgeHorizon.objects.values_list("task_id", flat=True).first()
    if horizon is not None and task_id <= horizon and is_ours(task_id):
        return _("EXPIRED: this task existed and has been purged.")
    return _("UNKNOWN: no task has this id.")
