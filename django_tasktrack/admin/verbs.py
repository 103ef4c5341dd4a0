"""What a person can do to tasks here: what it would do to each, doing it, and telling what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import transitions
from ..models import TrackedTask
from ..states import RERUN, Stage, State
from ..transitions import Answer
from ..vendors import task_database

#: Tasks that one confirmation covers. More are left for the next one, and the page says so.
MOST = 1_000
SIGNAL = "SIGTERM"


@dataclass(frozen=True, slots=True)
class Fate:
    """What a verb would do with a task."""

    text: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing to do.

    Args:
        name: in the address, and as the action's name.
        permission: the codename that is needed.
        label: on buttons.
        question: heading of the confirmation.
        explanation: what it means, in a sentence.
        fate: what it would do with a task as it is now.
        perform: does it; takes ids, actor and reason.
        dangerous: whether work is lost.
    """

    name: str
    permission: str
    label: Any
    question: Any
    explanation: Any
    fate: Callable[[TrackedTask], Fate]
    perform: Callable[[Sequence[UUID], str, str], dict[UUID, Answer]]
    dangerous: bool = False

    def allows(self, task: TrackedTask) -> bool:
        return not self.fate(task).skipped


def _skip(text: str) -> Fate:
    return Fate(text, skipped=True)


def _fate_of_revoke(task: TrackedTask) -> Fate:
    if task.is_finished:
        return _skip(_("skipped: has ended already"))
    if task.stage != Stage.CLAIMED:
        return Fate(_("revoked at once; no worker will run it"))
    if task.state == State.STARTED:
        return Fate(_("its worker is asked to stop it at its next checkpoint"))
    return Fate(_("claimed by a worker, which is asked not to start it"))


def _fate_of_terminate(task: TrackedTask) -> Fate:
    if task.is_finished:
        return _skip(_("skipped: has ended already"))
    if task.stage != Stage.CLAIMED:
        return _skip(_("skipped: does not run; revoke it instead"))
    if task.worker is not None and task.worker.can_terminate:
        return Fate(
            _("its process is ended by %(signal)s; work since its last commit is lost")
            % {"signal": SIGNAL}
        )
    return Fate(_("its worker's pool cannot end a process: it is asked to stop instead"))


def _fate_of_retry(task: TrackedTask) -> Fate:
    if task.state in RERUN.sources:
        return Fate(_("back into its queue, with a fresh count of attempts"))
    if task.state == State.SUCCESS:
        return _skip(_("skipped: has succeeded"))
    return _skip(_("skipped: has not ended yet"))


def _revoke(ids: Sequence[UUID], actor: str, reason: str) -> dict[UUID, Answer]:
    return transitions.revoke(ids, actor=actor, reason=reason)


def _terminate(ids: Sequence[UUID], actor: str, reason: str) -> dict[UUID, Answer]:
    """Only what a worker holds: to end waiting tasks is revoking, which is another permission."""
    return transitions.revoke(ids, signal=SIGNAL, only_claimed=True, actor=actor, reason=reason)


def _retry(ids: Sequence[UUID], actor: str, reason: str) -> dict[UUID, Answer]:
    return transitions.rerun(ids, actor=actor, reason=reason)


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "revoke",
            "revoke_trackedtask",
            gettext_lazy("Revoke"),
            gettext_lazy("Revoke tasks"),
            gettext_lazy(
                "Waiting tasks end at once, and no worker will run them. Running ones are asked to stop; "
                "they end when they next look."
            ),
            _fate_of_revoke,
            _revoke,
        ),
        Verb(
            "terminate",
            "terminate_trackedtask",
            gettext_lazy("Terminate"),
            gettext_lazy("Terminate running tasks"),
            gettext_lazy(
                "The processes that run these tasks are ended, wherever they are in their work."
            ),
            _fate_of_terminate,
            _terminate,
            dangerous=True,
        ),
        Verb(
            "retry",
            "retry_trackedtask",
            gettext_lazy("Retry"),
            gettext_lazy("Run tasks again"),
            gettext_lazy("Failed and revoked tasks go back into their queue. Their history is kept."),
            _fate_of_retry,
            _retry,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks in one state that a verb treats alike."""

    state: str
    fate: Fate
    tasks: list[TrackedTask]


def plan(verb: Verb, tasks: Iterable[TrackedTask]) -> list[Group]:
    """What the verb would do, by state: what it changes first, then what it skips."""
    groups: dict[tuple[str, Fate], Group] = {}
    for task in tasks:
        key = (task.state, verb.fate(task))
        groups.setdefault(key, Group(*key, [])).tasks.append(task)
    order = list(State)
    return sorted(groups.values(), key=lambda g: (g.fate.skipped, order.index(State(g.state))))


def perform(
    verb: Verb, ids: Sequence[UUID], user: AbstractBaseUser, reason: str
) -> dict[UUID, Answer]:
    """Do it, and keep in the admin's log what was changed; both or neither, on one database."""
    actor = f"user:{user.get_username()}"[:255]
    with transaction.atomic(using=task_database()):
        answers = verb.perform(ids, actor, reason)
        _log(verb, answers, user, reason)
    return answers


_CHANGED = (Answer.REVOKED, Answer.REQUESTED, Answer.TERMINATING, Answer.QUEUED)


def _log(verb: Verb, answers: dict[UUID, Answer], user: AbstractBaseUser, reason: str) -> None:
    for answer in _CHANGED:
        changed = [pk for pk, given in answers.items() if given is answer]
        if changed:
            text = f"{verb.name}: {answer}" + (f" ({reason})" if reason else "")
            tasks = TrackedTask.objects.using(task_database()).many(changed).only("pk", "name")
            LogEntry.objects.log_actions(user.pk, tasks, CHANGE, text)


def report(verb: Verb, answers: dict[UUID, Answer]) -> list[tuple[int, str]]:
    """What happened, as messages with their level."""
    counts = Counter(answers.values())
    said = [
        (messages.SUCCESS, _revoked_text(counts[Answer.REVOKED])),
        (messages.SUCCESS, _killed_text(counts[Answer.TERMINATING])),
        (messages.SUCCESS, _asked_text(counts[Answer.REQUESTED])),
        (messages.SUCCESS, _queued_text(counts[Answer.QUEUED])),
        (messages.WARNING, _refused_text(verb, counts[Answer.REFUSED])),
        (messages.WARNING, _unknown_text(counts[Answer.UNKNOWN])),
    ]
    return [(level, text) for level, text in said if text]


def _revoked_text(n: int) -> str:
    text = ngettext("%(n)s task was revoked.", "%(n)s tasks were revoked.", n)
    return text % {"n": n} if n else ""


def _killed_text(n: int) -> str:
    text = ngettext(
        "The worker of %(n)s running task was told to end its process.",
        "The workers of %(n)s running tasks were told to end their processes.",
        n,
    )
    return text % {"n": n} if n else ""


def _asked_text(n: int) -> str:
    text = ngettext(
        "%(n)s task is held by a worker, which was asked to stop it; it has not ended yet.",
        "%(n)s tasks are held by workers, which were asked to stop them; they have not ended yet.",
        n,
    )
    return text % {"n": n} if n else ""


def _queued_text(n: int) -> str:
    text = ngettext(
        "%(n)s task was put back into its queue.", "%(n)s tasks were put back into their queues.", n
    )
    return text % {"n": n} if n else ""


def _refused_text(verb: Verb, n: int) -> str:
    text = ngettext(
        "%(n)s task was skipped: its state does not allow “%(verb)s”.",
        "%(n)s tasks were skipped: their states do not allow “%(verb)s”.",
        n,
    )
    return text % {"n": n, "verb": verb.label} if n else ""


def _unknown_text(n: int) -> str:
    text = ngettext("%(n)s task does not exist any more.", "%(n)s tasks do not exist any more.", n)
    return text % {"n": n} if n else ""
