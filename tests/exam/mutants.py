"""``python -m tests.exam.mutants``: each guard is taken away in a copy of the tree, and its tests must fail.

Options are parts of names: ``python -m tests.exam.mutants lease`` tries the mutants with "lease" in theirs.
``--publish``, of all of them, writes what became of them into docs/reliability.md.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.databases import CHOICE, MYSQL
from tests.exam import publishing
from tests.exam.publishing import ROOT

_BASE, _FAST = "django_tasktrack/vendors/base.py", "django_tasktrack/vendors/postgresql.py"
_ATTEMPTS, _GOALS = "django_tasktrack/transitions/attempts.py", "django_tasktrack/goals.py"
_CONTROL = "django_tasktrack/transitions/control.py"
_UPKEEP = "django_tasktrack/transitions/upkeep.py"
_HYGIENE, _ASYNCIO = "django_tasktrack/pools/hygiene.py", "django_tasktrack/pools/asynchronous.py"
_ENQUEUE = "django_tasktrack/enqueue.py"
_LIVENESS, _FORKING = "django_tasktrack/liveness.py", "django_tasktrack/forking.py"
_SESSIONS, _ENGINE = "django_tasktrack/vendors/sessions.py", "django_tasktrack/engines/database.py"

_RACES, _VENDORS = "tests/exam/test_races.py", "tests/vendors/test_vendors.py"
_ORDERS, _MODEL = "tests/exam/test_interleavings.py", "tests/exam/test_state_machine.py"
_VERBS, _CRASHES = "tests/test_transitions.py", "tests/exam/test_crash_points.py"
_CALLS, _IDLE = "tests/exam/test_attempts.py", "tests/exam/test_idle_connections.py"
_UNIQUE = "tests/test_unique.py"
_SETTLING, _FORKSERVER = (
    "django_tasktrack/engines/settling.py",
    "django_tasktrack/pools/forkserver.py",
)
_REGISTRATION, _HEARTBEAT = "django_tasktrack/registration.py", "django_tasktrack/heartbeat.py"
_PREFORK, _GIVEN = "django_tasktrack/pools/prefork.py", "tests/pools/test_prefork.py"
_CHILD, _CHILD_TESTS = "django_tasktrack/pools/child.py", "tests/pools/test_child.py"
_CHILD_OF = "django_tasktrack/pools/childprocess.py"
_REFUSALS, _STEPS = "tests/exam/test_refusals.py", "tests/engines/test_upkeep.py"
_GUARDS, _NETWORK = "tests/exam/test_guards.py", "tests/exam/test_network.py"
_STOPS, _LOOP = "tests/engines/test_stopping.py", "tests/live/test_asyncio.py"
_LOCKS, _SHUTDOWN = "tests/test_liveness.py", "tests/test_shutdown.py"
_ENDS, _LIVES = "tests/exam/test_terminate.py", "tests/exam/test_liveness.py"
_HOSTILE, _HISTORY = "tests/exam/test_hostile.py", "tests/exam/test_history.py"
_DEATHS, _LIMITS = "tests/live/test_deaths.py", "tests/live/test_limits.py"
_PAYLOADS, _PAYLOAD_TESTS = "django_tasktrack/payloads.py", "tests/test_payloads.py"
_SERIALIZERS = "tests/test_serializers.py"
_LOGS, _LOG_TESTS = "django_tasktrack/management/logs.py", "tests/management/test_logs.py"
_MODELS, _QUERYSETS = "django_tasktrack/models/tasks.py", "django_tasktrack/querysets.py"
_PURGE, _FORKS = "django_tasktrack/purge.py", "tests/test_forking.py"
_PURGES = "tests/test_purge.py"
_LINKS, _CANVAS = "django_tasktrack/transitions/links.py", "tests/canvas/test_running.py"
_AGAIN = "tests/canvas/test_again.py"
_HYGIENE_TESTS = "tests/pools/test_hygiene.py"
_CRONS, _TIMINGS = "django_tasktrack/crons.py", "django_tasktrack/timings.py"
_FIRING, _FIRES = "django_tasktrack/schedules/firing.py", "tests/schedules/test_firing.py"
_PLANNING = "django_tasktrack/schedules/planning.py"
_FOLLOWING = "django_tasktrack/schedules/synchronising.py"
_SLOTS, _LATE_SLOTS = "tests/exam/test_schedules.py", "tests/test_timings.py"
_FOLLOWS = "tests/schedules/test_synchronising.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard less.

    Attributes:
        guard: its name.
        path: the file that it stands in.
        old, new: its text, which stands there once, and what is put in its place.
        tests: those that must fail without it: pytest's arguments.
        database: where they run.
    """

    guard: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    database: str = "sqlite"


_LATE = (_RACES, "-k", "late_write or of_the_same_attempt")
_SERVER, _MARIADB = "postgresql", "mysql"

_PATH = "django_tasktrack/"
_ACKS, _TOLD = "tests/engines/test_acknowledging.py", "tests/test_epilogue.py"
_LOCAL, _LOCAL_TESTS = _PATH + "pools/local.py", "tests/pools/test_local.py"
_HEARD, _RUNS = "tests/test_signals.py", "tests/test_runner.py"

_ADAPTATION, _ADAPTS = _PATH + "adaptation.py", "tests/test_adaptation.py"
_GLANCE = _PATH + "vendors/glance.py"

#: Of workers that are asked to change, and of queues that are left out.
_OF_REQUESTS = (
    Mutant(
        "requests: only who lives is asked",
        _ADAPTATION,
        "filter(pk=worker_id).alive()",
        "filter(pk=worker_id)",
        (_ADAPTS, "-k", "those_that_are_gone"),
    ),
    Mutant(
        "requests: each begins with what the one before has asked for",
        _ADAPTATION,
        "        before = wish_of(row)\n",
        "        before = Wish(row.concurrency, row.served)\n",
        (_ADAPTS, "-k", "add_up"),
    ),
    Mutant(
        "requests: a sign of life asks for those that are open",
        _HEARTBEAT,
        ', requests_made=F("requests_met"))',
        ")",
        (_ADAPTS, "-k", "until_it_is_met"),
    ),
    Mutant(
        "requests: what was asked meanwhile stays open",
        _REGISTRATION,
        "            requests_met=wish.number,\n",
        "            requests_met=wish.number + 1,\n",
        (_ADAPTS, "-k", "asked_meanwhile"),
    ),
    Mutant(
        "requests: a new row carries what was asked under the old one",
        _REGISTRATION,
        "        if former.is_asked_to_change:\n",
        "        if False:\n",
        (_ADAPTS, "-k", "taken_along"),
    ),
    Mutant(
        "requests: a new row is what its worker has become",
        _REGISTRATION,
        "self._identity, concurrency=wish.concurrency, queues",
        "self._identity, queues",
        (_ADAPTS, "-k", "as_what_it_had_become"),
    ),
    Mutant(
        "requests: prefork, a child too many takes nothing more",
        _PREFORK,
        "            self._take_back(child)\n            self._retire(child)\n        self._resized",
        "            self._retire(child)\n        self._resized",
        (_GIVEN, "-k", "too_many_gives_back"),
    ),
    Mutant(
        "requests: prefork, one that comes may be too many",
        _PREFORK,
        "        self._resized = bool(self._spawning)  #",
        "        self._resized = False  #",
        (_GIVEN, "-k", "one_too_many_ends_at_once"),
    ),
    Mutant(
        "requests: prefork, one that ends takes nobody's place",
        _PREFORK,
        "staying = sum(not child.retired for child in self._children.values())",
        "staying = len(self._children)",
        (_GIVEN, "-k", "replaced_while_one_too_many"),
    ),
    Mutant(
        "requests: threads that are too many end",
        _LOCAL,
        "            if self._threads <= self.concurrency:\n                return False\n",
        "            if self._threads:\n                return False\n",
        (_LOCAL_TESTS, "-k", "shrinks_stops_nothing or too_many_end"),
    ),
    Mutant(
        "queues: what is left out, portable",
        _PATH + "querysets.py",
        "self.exclude(queue__in=excluded) if excluded else self",
        "self",
        (_VENDORS, "-k", "all_queues_but_some or excluded"),
    ),
    Mutant(
        "queues: what is left out, PostgreSQL",
        _GLANCE,
        "q.queue <> ALL (%(excluded)s) AND ",
        "",
        (_VENDORS, "-k", "all_queues_but_some or excluded"),
        _SERVER,
    ),
    Mutant(
        "queues: without all of its queues a worker serves none, not all",
        _PATH + "served.py",
        "        if not left:\n",
        "        if False:\n",
        ("tests/test_served.py", "-k", "one_queue_at_least"),
    ),
    Mutant(
        "log: a file that cannot be made anew breaks nothing",
        _PATH + "management/logfile.py",
        "        except OSError:  # it was moved",
        "        except ZeroDivisionError:  # it was moved",
        ("tests/management/test_logfile.py", "-k", "breaks_nothing"),
    ),
)

_GATING, _GATE = _PATH + "transitions/gating.py", _PATH + "engines/gate.py"
_LIMIT_RACES, _LIMIT_TESTS = "tests/test_limit_races.py", "tests/test_limits.py"
_GATE_TESTS = "tests/engines/test_gate.py"

#: Of limits: rates, concurrency keys, paused queues.
_OF_LIMITS = (
    Mutant(
        "limits: a place of the key for each claim",
        _GATING,
        "            concurrency_slot=place,\n",
        "            concurrency_slot=None,\n",
        (_LIMIT_RACES,),
    ),
    Mutant(
        "limits: places are looked at again when they are taken",
        _GATING,
        "        for key, place in _places(_with_places(self._vendor, keys)):\n            taken",
        "        for key, place in ():\n            taken",
        (_LIMIT_RACES, "-k", "place_that_was_taken"),
    ),
    Mutant(
        "limits: no more than the task's own number",
        _GATING,
        " or len(places[one.key]) >= one.limit:",
        ":",
        (_LIMIT_RACES, "-k", "number_of_the_task"),
    ),
    Mutant(
        "limits: places of ended tasks are cleared away",
        _GATING,
        '        if ids := list(free.values_list("pk", flat=True)):\n',
        "        if ids := list(free.none()):\n",
        (_LIMIT_TESTS, "-k", "place_is_free"),
    ),
    Mutant(
        "limits: no claim at will of a task with a key",
        _BASE,
        ".filter(concurrency_key__isnull=True)\n\n    def startable",
        "\n\n    def startable",
        (_LIMIT_TESTS, "-k", "stage_of_its_own"),
    ),
    Mutant(
        "limits: PostgreSQL, no claim at will of a task with a key",
        _FAST,
        " AND t.concurrency_key IS NULL\n",
        "\n",
        (_LIMIT_TESTS, "-k", "stage_of_its_own"),
        _SERVER,
    ),
    Mutant(
        "limits: a paused queue gives nothing",
        _BASE,
        "return served.filter(_IN_OPEN_QUEUE).not_expired(self.now())",
        "return served.not_expired(self.now())",
        (_LIMIT_TESTS, "-k", "paused_queue"),
    ),
    Mutant(
        "limits: PostgreSQL, a paused queue gives nothing",
        _PATH + "vendors/gates.py",
        " AND p.paused_at IS NOT NULL)",
        " AND p.paused_at IS NOT NULL AND 1 = 0)",
        (_LIMIT_TESTS, "-k", "paused_queue"),
        _SERVER,
    ),
    Mutant(
        "limits: tokens are taken under the lock of their row",
        _GATING,
        "        held = list(self._vendor.locked(rows, wait=False))\n",
        "        held = list(rows)\n",
        (_LIMIT_RACES, "-k", "bucket"),
        _SERVER,
    ),
    Mutant(
        "limits: a taken token is gone",
        _GATING,
        "            rows.filter(name=name).update(tokens=buckets[name].tokens, refilled_at=now)\n",
        "            rows.filter(name=name)\n",
        (_LIMIT_TESTS, "-k", "at_their_rate"),
    ),
    Mutant(
        "limits: a bucket overflows",
        _PATH + "rates.py",
        "        self.tokens = min(self.capacity, max(0.0, self.tokens) + come)\n",
        "        self.tokens = min(9.0, max(0.0, self.tokens) + come)\n",
        ("tests/test_rates.py",),
    ),
    Mutant(
        "limits: a worker knows them before its first claim",
        _GATE,
        "        self.names = [name for name in self._plan.names if name not in known.rates]\n",
        "",
        (_GATE_TESTS, "-k", "first_look"),
    ),
    Mutant(
        "limits: what waits of a paused queue goes back",
        _GATE,
        "        self._paused_anew |= bool(known.paused - before.paused)\n",
        "",
        (_GATE_TESTS, "-k", "gives_back"),
    ),
    Mutant(
        "limits: a burst looks once more after each body",
        _GATE,
        "        if self._active:\n            self._look_soon()\n\n    def heed",
        "\n    def heed",
        (_GATE_TESTS, "-k", "known_task_is_limited"),
    ),
    Mutant(
        "limits: others and gated tasks take turns",
        _PATH + "engines/claiming.py",
        "        self._gated_last = gated and not (at_will and self._gated_last)\n",
        "        self._gated_last = gated\n",
        (_GATE_TESTS, "-k", "take_turns"),
    ),
    Mutant(
        "limits: nothing is made due that another limit holds",
        _GATING,
        "    gated = _gated(vendor).named(free).filter(concurrency_key__isnull=True)\n",
        "    gated = _gated(vendor).named(free)\n",
        (_LIMIT_TESTS, "-k", "ungate_leaves"),
    ),
)

#: Of what tells of ends, once they are committed.
_OF_SIGNALS = (
    Mutant(
        "signals: nobody waits where nobody listens",
        _PATH + "runner.py",
        "if later is not None and epilogue.is_wanted(self.definition, outcome.transition.target):",
        "if later is not None:",
        (_TOLD, "-k", "nobody_listens"),
    ),
    Mutant(
        "signals: prefork, an end that was refused",
        _CHILD,
        "        if self._is_committed(number):\n",
        "        if self._is_committed(number) or number:\n",
        (_CHILD_TESTS, "-k", "where_it_was_committed"),
    ),
    Mutant(
        "signals: prefork, the answer to an earlier end",
        _CHILD,
        "        while self._settled is None or self._settled.number != number:\n",
        "        while self._settled is None:\n",
        (_CHILD_TESTS, "-k", "where_it_was_committed"),
    ),
    Mutant(
        "signals: prefork, clean connections after receivers",
        _CHILD,
        "            fit = self._clean() and self._surroundings.restore()\n",
        "            fit = self._surroundings.restore()\n",
        (_CHILD_TESTS, "-k", "receiver or connections_are_clean"),
    ),
    Mutant(
        "signals: prefork, no further task meanwhile",
        _CHILD_OF,
        "if self.retired or self.telling or self.kill_at",
        "if self.retired or self.kill_at",
        (_GIVEN, "-k", "that_waits"),
    ),
    Mutant(
        "signals: prefork, what was given ahead goes to others",
        _PREFORK,
        "            self._take_back(child)  # it begins nothing before it has told of this end\n",
        "",
        (_GIVEN, "-k", "that_waits"),
    ),
    Mutant(
        "signals: prefork, a child that tells is busy",
        _PREFORK,
        "            busy = len(self._running) + len(self._telling)\n",
        "            busy = len(self._running)\n",
        (_GIVEN, "-k", "that_waits"),
    ),
    Mutant(
        "signals: prefork, what is abandoned while it is told",
        _PREFORK,
        "                if child.given or child.telling:\n",
        "                if child.given:\n",
        (_GIVEN, "-k", "abandoned"),
    ),
    Mutant(
        "signals: prefork, telling has a time limit",
        _CHILD_OF,
        "        self.hard_at = math.inf if hard is None else time.monotonic() + hard\n",
        "",
        (_GIVEN, "-k", "telling_has"),
    ),
    Mutant(
        "signals: local pools, an end that was refused",
        _LOCAL,
        "            if verdict.wait():\n",
        "            if verdict.wait() or claim:\n",
        (_LOCAL_TESTS, "-k", "refused"),
    ),
    Mutant(
        "signals: asyncio, an end that was refused",
        _ASYNCIO,
        "            if await verdict:\n",
        "            if await verdict or claim:\n",
        (_LOCAL_TESTS, "-k", "refused"),
    ),
    Mutant(
        "signals: asyncio, an end that is not the body's own",
        _ASYNCIO,
        "create_future() if told and own else None",
        "create_future() if told else None",
        (_LOCAL_TESTS, "-k", "time_limit"),
    ),
    Mutant(
        "signals: the engine waits for what is told",
        _PATH + "pools/base.py",
        "len(self._running) + len(self._telling)",
        "len(self._running)",
        (_ACKS, "-k", "keeps_the_engine"),
    ),
    Mutant(
        "signals: what was told is no end",
        _ENGINE,
        "if isinstance(event, _ENDS)}",
        "if not isinstance(event, Reported)}",
        (_ACKS, "-k", "earlier_attempt"),
    ),
    Mutant(
        "signals: what was written instead",
        _SETTLING,
        "self._acknowledge(asked, written=change is asked)",
        "self._acknowledge(asked, written=True)",
        (_ACKS, "-k", "no_database_takes"),
    ),
    Mutant(
        "signals: an answer that was lost",
        _SETTLING,
        "written=self._was_written(refused)",
        "written=False",
        (_ACKS, "-k", "answer_was_lost"),
    ),
    Mutant(
        "signals: an end that was refused",
        _SETTLING,
        "written=self._was_written(refused)",
        "written=True",
        (_ACKS, "-k", "fence_refuses"),
    ),
    Mutant(
        "signals: another's end",
        _ATTEMPTS,
        "        reason=change.reason[:255],\n    )\n    return rows",
        "    )\n    return rows",
        (_ACKS, "-k", "another_s_word"),
    ),
    Mutant(
        "signals: a failure is told once",
        _SETTLING,
        "(change.target is State.FAILURE and not is_told)",
        "(change.target is State.FAILURE)",
        (_ACKS, "-k", "told_twice"),
    ),
    Mutant(
        "signals: published with the commit",
        _PATH + "transitions/publishing.py",
        "    transaction.on_commit(partial(_tell_all, inserted), using=vendor.using, robust=True)\n",
        "    _tell_all(inserted)\n",
        (_HEARD, "-k", "rolled_back or after_the_commit"),
    ),
    Mutant(
        "signals: revoked with the commit",
        _PATH + "transitions/announcing.py",
        "    transaction.on_commit(tell, using=vendor.using, robust=True)\n",
        "    tell()\n",
        (_HEARD, "-k", "rolled_back or once_it_is_committed"),
    ),
    Mutant(
        "signals: whatever a receiver raises",
        _PATH + "signals.py",
        "        except BaseException:  # ``SystemExit`` of a receiver ends nothing\n",
        "        except Exception:\n",
        (_HEARD, "-k", "raises_is_logged"),
    ),
    Mutant(
        "signals: whatever a hook raises",
        _PATH + "epilogue.py",
        "        except BaseException:\n            claim",
        "        except Exception:\n            claim",
        (_TOLD, "-k", "hook_raises"),
    ),
    Mutant(
        "signals: no retry after the end",
        _PATH + "bound.py",
        "        if not running.is_open:\n",
        "        if running is None:\n",
        (_TOLD, "-k", "still_itself"),
    ),
    Mutant(
        "reject: its attempt does not count",
        _PATH + "changes.py",
        "attempt=-1 if outcome.transition is states.RELEASE else 0,",
        "attempt=0,",
        (_RUNS, "-k", "puts_it_back"),
    ),
    Mutant(
        "reject: not in a circle",
        _PATH + "outcomes.py",
        "delay=REJECTED_PAUSE, ",
        "",
        (_RUNS, "-k", "puts_it_back"),
    ),
    Mutant(
        "retry: the arguments of a task stay",
        _PATH + "bound.py",
        '        _check_same(running.claim.args, args, "args")\n',
        "",
        ("tests/test_declaration.py", "-k", "changes_them"),
    ),
    Mutant(
        "result: a task does not wait for itself",
        _PATH + "result.py",
        "        if self._own_attempt():\n",
        "        if self._absent_state:\n",
        ("tests/test_declaration.py", "-k", "asks_for_itself"),
    ),
)

MUTANTS = (
    *_OF_SIGNALS,
    *_OF_LIMITS,
    Mutant(
        "canvas: all that a task waits for",
        _LINKS,
        "    still = links.filter(state__in=(Link.State.OPEN, Link.State.BROKEN))\n",
        "    still = links.none()\n",
        (_CANVAS,),
    ),
    Mutant(
        "canvas: a rerun asks what else it waits for",
        _CONTROL,
        "        in_vain = links.in_vain(vendor, [task.pk for task in left])\n",
        "        in_vain = set[UUID]()\n",
        (_AGAIN, "-k", "refused"),
    ),
    Mutant(
        "canvas: a revoke locks what waits with the tasks",
        _CONTROL,
        "locked(vendor, ids, links.waiting_for(vendor, ids))",
        "locked(vendor, ids)",
        (_AGAIN, "-k", "never_wait"),
        _SERVER,
    ),
    Mutant(
        "canvas: a rerun locks what waits with the tasks",
        _CONTROL,
        "locked(vendor, ids, links.may_revive(vendor, ids))",
        "locked(vendor, ids)",
        (_AGAIN, "-k", "never_wait"),
        _SERVER,
    ),
    Mutant(
        "canvas: released once",
        _BASE,
        ".many(asked).filter(stage=Stage.BLOCKED)",
        ".many(asked)",
        (_CANVAS,),
    ),
    Mutant(
        "canvas: what has failed revokes what waits",
        _LINKS,
        "    doomed = _revoke(vendor, after, task_id, state) if after else []\n",
        "    doomed = []\n",
        (_CANVAS,),
    ),
    Mutant(
        "canvas: ends are followed in their own transaction",
        "django_tasktrack/transitions/attempts.py",
        "    if all(change.goal_id is None and not change.releases for change in changes):\n",
        "    if all(change.goal_id is None for change in changes):\n",
        (_CANVAS,),
    ),
    Mutant(
        "canvas: only what was revoked for it waits again",
        _LINKS,
        "    tasks = revoked.filter(revoke_request__waited_for__isnull=False)\n",
        "    tasks = revoked\n",
        (_CANVAS,),
    ),
    Mutant(
        "canvas: no waiting for two that failed while one has",
        _LINKS,
        "        free = successors - in_vain(vendor, successors)\n",
        "        free = successors\n",
        (_CANVAS,),
    ),
    Mutant(
        "canvas: values that are waited for are kept",
        _QUERYSETS,
        "        return self.exclude(Q(followed=True) & Exists(waiting))\n",
        "        return self\n",
        (_CANVAS,),
    ),
    Mutant(
        "canvas: a step waits again for its value",
        _LINKS,
        "        _release(vendor, waiting_ids)\n",
        "        pass\n",
        (_CANVAS,),
    ),
    Mutant(
        "frontier: looks everywhere",
        "django_tasktrack/engines/frontier.py",
        "        if self._behind is None or now >= self.everywhere_at():\n",
        "        if self._behind is None:\n",
        ("tests/engines/test_frontier.py",),
    ),
    Mutant(
        "frontier: soon after a look behind it",
        "django_tasktrack/engines/claiming.py",
        "self._frontier.everywhere_at()",
        "now + plan.poll_max * 5",
        ("tests/engines/test_frontier.py",),
    ),
    Mutant(
        "frontier: not where others may be between",
        "django_tasktrack/engines/frontier.py",
        "min(times) if more else max(times)",
        "max(times)",
        ("tests/engines/test_frontier.py",),
    ),
    Mutant(
        "frontier: everywhere after a full look",
        "django_tasktrack/engines/frontier.py",
        "            if self._more and not more:",
        "            if False:",
        ("tests/engines/test_frontier.py",),
    ),
    Mutant(
        "frontier: everywhere at last",
        "django_tasktrack/engines/frontier.py",
        ", EVERYWHERE_AT_LAST)",
        ", 1000.0)",
        ("tests/engines/test_frontier.py",),
    ),
    Mutant(
        "frontier: a new one for other queues",
        "django_tasktrack/engines/claiming.py",
        "        self._frontier = Frontier()  # the old one may know of others\n",
        "",
        ("tests/engines/test_frontier.py",),
        _SERVER,
    ),
    Mutant(
        "frontier: none for a burst",
        "django_tasktrack/engines/claiming.py",
        "        behind = None if self._plan.burst else self._frontier.start(now)\n",
        "        behind = self._frontier.start(now)\n",
        ("tests/engines/test_frontier.py",),
    ),
    Mutant(
        "write: the lease",
        _BASE,
        "        and task.lease == change.lease\n",
        "",
        _LATE,
    ),
    Mutant(
        "write: the worker",
        _BASE,
        "        and task.worker_id == change.worker_id\n",
        "",
        _LATE,
    ),
    Mutant(
        "write: the state",
        _BASE,
        "        task.state in change.transition.stored_sources\n",
        "        True\n",
        (_MODEL,),
    ),
    Mutant(
        "write: a wish to end it",
        _BASE,
        "        and not (change.transition.yields and task.revoke_requested_at)\n",
        "",
        (_RACES, "-k", "test_revoke_against_an_end"),
    ),
    Mutant(
        "write: the lease, PostgreSQL",
        _FAST,
        "      AND t.lease IS NOT DISTINCT FROM a.lease\n      AND t.worker_id",
        "      AND t.worker_id",
        _LATE,
        _SERVER,
    ),
    Mutant(
        "write: the worker, PostgreSQL",
        _FAST,
        "      AND t.worker_id IS NOT DISTINCT FROM a.worker_id\n",
        "",
        _LATE,
        _SERVER,
    ),
    Mutant(
        "write: the state, PostgreSQL",
        _FAST,
        "t.state = ANY (string_to_array(a.sources, ','))\n      AND t.lease",
        "t.lease",
        (_MODEL, "-k", "own"),
        _SERVER,
    ),
    Mutant(
        "write: a wish to end it, PostgreSQL",
        _FAST,
        "      AND NOT (a.yields AND t.revoke_requested_at IS NOT NULL)\n",
        "",
        (_RACES, "-k", "test_revoke_against_an_end"),
        _SERVER,
    ),
    Mutant(
        "write: SKIP LOCKED, PostgreSQL",
        _FAST,
        'lock = "" if wait else "SKIP LOCKED"',
        'lock = ""',
        (_VENDORS, "-k", "held_row_is_busy"),
        _SERVER,
    ),
    Mutant(
        "claim: SKIP LOCKED, PostgreSQL",
        _FAST,
        "        FOR NO KEY UPDATE SKIP LOCKED\n    ) AS due",
        "    ) AS due",
        (_VENDORS, _ORDERS, "-k", "pass_over_held_rows or claim"),
        _SERVER,
    ),
    Mutant(
        "claim: the lock",
        _BASE,
        'ids = list(self.locked(due, wait=False).values_list("pk", flat=True)[:limit])\n'
        "            if not ids:\n                return []",
        'ids = list(due.values_list("pk", flat=True)[:limit])\n'
        "            if not ids:\n                return []",
        (_VENDORS, _ORDERS, "-k", "portable and (pass_over_held_rows or claim)"),
        _SERVER,
    ),
    Mutant(
        "claim: the lock, MariaDB",
        _BASE,
        'ids = list(self.locked(due, wait=False).values_list("pk", flat=True)[:limit])\n'
        "            if not ids:\n                return []",
        'ids = list(due.values_list("pk", flat=True)[:limit])\n'
        "            if not ids:\n                return []",
        (_VENDORS, _ORDERS, "-k", "pass_over_held_rows or claim"),
        _MARIADB,
    ),
    Mutant(
        "connect: READ COMMITTED, MariaDB",
        _SESSIONS,
        'return {**network, **given, "isolation_level": "read committed"}',
        "return {**network, **given}",
        (_GUARDS, "-k", "whatever_the_default"),
        _MARIADB,
    ),
    Mutant(
        "a deadlock is tried again, MariaDB",
        "django_tasktrack/vendors/errors.py",
        "_PASSING_NUMBERS = frozenset({1020, 1205, 1213})",
        "_PASSING_NUMBERS = frozenset({1020, 1205})",
        ("tests/exam/test_database.py", "-k", "deadlock"),
        _MARIADB,
    ),
    Mutant(
        "claim: a new lease",
        _BASE,
        '                lease=F("lease") + 1,\n',
        "",
        (_MODEL, _VENDORS, "-k", "model or raises_the_lease"),
    ),
    Mutant(
        "unclaim: the lease",
        _BASE,
        "Q(pk=claim.task_id, lease=claim.lease) for claim in batch",
        "Q(pk=claim.task_id) for claim in batch",
        _LATE,
    ),
    Mutant(
        "unclaim: a wish to end it",
        _BASE,
        "theirs.filter(reduce(or_, same_lease), revoke_requested_at__isnull=True)",
        "theirs.filter(reduce(or_, same_lease))",
        (_MODEL, _VENDORS, "-k", "model or unclaim"),
    ),
    Mutant(
        "progress: the lease",
        _BASE,
        "if leases.get(task_id) == write.lease:",
        "if task_id in leases:",
        _LATE,
    ),
    Mutant(
        "progress: the lease, PostgreSQL",
        _FAST,
        "ON t.id = a.id AND t.lease IS NOT DISTINCT FROM a.lease\n",
        "ON t.id = a.id\n",
        _LATE,
        _SERVER,
    ),
    Mutant(
        "rescue: whether the worker lives",
        _UPKEEP,
        "claimed.exclude(Exists(alive)).order_by",
        "claimed.order_by",
        (_MODEL,),
    ),
    Mutant(
        "rescue: a presumed start",
        _UPKEEP,
        "        began=None if seen else now,\n",
        "        began=None,\n",
        (_RACES, "-k", "test_rescue_against_finish or between_rescue"),
    ),
    Mutant(
        "revoke: the lease that a kill takes away",
        _CONTROL,
        "lease=task.lease + int(kills)",
        "lease=task.lease",
        (_RACES, "-k", "test_revoke_against_an_end"),
    ),
    Mutant(
        "revoke: whether a worker has it",
        _CONTROL,
        "    if task.stage == Stage.CLAIMED:\n        return Answer.TERMINATING",
        "    if task.stage == 99:\n        return Answer.TERMINATING",
        (_RACES, "-k", "test_revoke_against_an_end"),
    ),
    Mutant(
        "rerun: a new lease",
        "django_tasktrack/changes.py",
        "            bump=1,\n",
        "",
        (_MODEL, _VERBS, "-k", "model or rerun or again"),
    ),
    Mutant(
        "idle connections: tried before the next body",
        _HYGIENE,
        "        connection.health_check_done = False  # type: ignore[attr-defined]\n",
        "",
        (_IDLE, "-k", "prefork"),
        _SERVER,
    ),
    Mutant(
        "idle connections: those of async bodies, one by one",
        _HYGIENE,
        "        await sync_to_async(prepare_connections)()\n        return await body",
        "        return await body",
        (_IDLE, "-k", "solo"),
        _SERVER,
    ),
    Mutant(
        "idle connections: those of async bodies, many at once",
        _ASYNCIO,
        "                self._prepare()\n",
        "",
        (_IDLE, "-k", "asyncio"),
        _SERVER,
    ),
    Mutant(
        "idle connections: those of threads beside async bodies",
        _ASYNCIO,
        "copy_context().run, run_with_clean_connections, body)",
        "copy_context().run, body)",
        (_IDLE, "-k", "asyncio"),
        _SERVER,
    ),
    Mutant(
        "revoke: whether the body still runs, asyncio",
        _ASYNCIO,
        "        if body is not None:  # a wish about a body that has ended must not meet a later attempt\n"
        "            self._revoked.add(task_id)\n",
        "        self._revoked.add(task_id)\n        if body is not None:\n",
        ("tests/pools/test_asyncio.py",),
    ),
    Mutant(
        "revoke: a wish ends with its attempt, asyncio",
        _ASYNCIO,
        "        self._revoked.discard(claim.task_id)\n",
        "",
        ("tests/pools/test_asyncio.py",),
    ),
    Mutant(
        "enqueue: after the commit of business data that is elsewhere",
        _ENQUEUE,
        "if vendor_for(business).in_transaction and not vendor_for(using).in_transaction:",
        "if not business:",
        ("tests/test_router.py",),
    ),
    Mutant(
        "achieve: the lease",
        _GOALS,
        "pk=claim.task_id, lease=claim.lease, worker_id=claim.worker_id, stage=Stage.CLAIMED",
        "pk=claim.task_id",
        ("tests/test_goals.py", "-k", "lease or revoked or lost or zombie"),
    ),
    Mutant(
        "achieve: one transaction with the body's own writes",
        _GOALS,
        "        self.row, changed = transitions.whole(vendor, settle)\n        return changed\n\n"
        "    def abandon",
        "        from django.db import transaction\n\n"
        "        with transaction.atomic(using=vendor.using, durable=True):\n"
        "            self.row, changed = settle()\n        return changed\n\n    def abandon",
        (_CRASHES, "-k", "achieving"),
    ),
    Mutant(
        "enqueue: one transaction for many",
        _ATTEMPTS,
        "        with transaction.atomic(using=vendor.using, savepoint=False):\n"
        "            vendor.insert(tasks)",
        "        vendor.insert(tasks)",
        (_CALLS, "-k", "breaks_off"),
        _SERVER,
    ),
    Mutant(
        "connect: whether a pooler is there",
        _SESSIONS,
        "return bool(pid != connection.connection.info.backend_pid)",
        "return False",
        (_GUARDS, "-k", "pooler"),
        _SERVER,
    ),
    Mutant(
        "connect: READ COMMITTED in transactions",
        _SESSIONS,
        '{**network, **fast, **own, "isolation_level": IsolationLevel.READ_COMMITTED}',
        "{**network, **fast, **own}",
        (_GUARDS, "-k", "whatever_the_default"),
        _SERVER,
    ),
    Mutant(
        "connect: READ COMMITTED outside of them",
        _SESSIONS,
        '        "default_transaction_isolation": "read committed",\n',
        "",
        (_GUARDS, "-k", "whatever_the_default"),
        _SERVER,
    ),
    Mutant(
        "connect: no wait without an end",
        _SESSIONS,
        "    driver.wait = _patient(driver, patience + 1)  # after the server, whose verdict is clearer\n",
        "",
        (_GUARDS, "-k", "swallowed"),
        _SERVER,
    ),
    Mutant(
        "lost: bodies are dropped before connecting",
        _ENGINE,
        "        if self._lost:\n            self._drop_all(self._lost)\n        self._connect()\n",
        "        self._connect()\n        if self._lost:\n            self._drop_all(self._lost)\n",
        (_NETWORK, "-m", "long", "-k", "end_with_its_lease"),
        _SERVER,
    ),
    Mutant(
        "claim: none while a thousand ends wait",
        _ENGINE,
        "if not self._claims and len(self._outbox) < FLUSH_LIMIT:",
        "if not self._claims:",
        (_GUARDS, "-k", "a_thousand_ends"),
    ),
    Mutant(
        "upkeep: a third of the time at the most",
        "django_tasktrack/maintenance.py",
        "        self._round_at = self._rounds_due_at = max(self._round_at, ended + 2 * (ended - now))\n",
        "",
        (_GUARDS, "-k", "upkeep"),
        _SERVER,
    ),
    Mutant(
        "unique: an end frees the key",
        _BASE,
        "    if change.stage is Stage.DONE:\n        task.active_key = None\n    elif",
        "    if",
        (_UNIQUE,),
    ),
    Mutant(
        "unique: a key that another task has stays there",
        _CONTROL,
        " or task.unique_key in taken",
        "",
        (_UNIQUE,),
    ),
    Mutant(
        "unique: the loser's transaction goes on",
        _BASE,
        "                with transaction.atomic(using=self.using):\n                    self.insert([task])",
        "                self.insert([task])",
        (_VENDORS, "-k", "unique and portable"),
        _SERVER,
    ),
    Mutant(
        "unique: a key that was taken during a retry",
        _CONTROL,
        "        except IntegrityError as error:\n",
        "        except ZeroDivisionError as error:\n",
        ("tests/exam/test_unique.py", "-k", "at_once_are_one"),
        _SERVER,
    ),
    Mutant(
        "unique: a retry whose transaction does not see the holder",
        _CONTROL,
        "                return {ids[0]: Answer.REFUSED}",
        "                raise",
        ("tests/exam/test_unique.py", "-k", "does_not_see and retry"),
        _SERVER,
    ),
    Mutant(
        "unique: the holder that is found in the last try",
        _BASE,
        "                if (holder := self._holder(task.unique_key, surely=True)) is not None:\n"
        "                    return holder\n",
        "",
        ("tests/exam/test_unique.py", "-k", "last_try"),
        _SERVER,
    ),
    Mutant(
        "unique: a key that an ended task has kept",
        _BASE,
        "            self.free_ended([key])\n",
        "",
        (_VENDORS, "-k", "has_kept"),
    ),
    Mutant(
        "unique: a key that an ended task has kept, PostgreSQL",
        _FAST,
        "            self.free_ended(task.unique_key for task in left)\n",
        "",
        (_VENDORS, "-k", "has_kept and fast"),
        _SERVER,
    ),
    Mutant(
        "unique: a key that an ended task has kept, at a retry",
        _CONTROL,
        "        vendor.free_ended(ended)\n",
        "        pass\n",
        (_UNIQUE, "-k", "asks_no_ended"),
    ),
    Mutant(
        "enqueue: tried again, where the database breaks it off",
        _ATTEMPTS,
        "        tried_again(vendor, lambda: _insert(vendor, tasks))\n",
        "        _insert(vendor, tasks)\n",
        (_REFUSALS, "-k", "tried_again_as and delay"),
        _SERVER,
    ),
    Mutant(
        "enqueue: not tried again in a transaction of the caller's",
        "django_tasktrack/transitions/door.py",
        "if vendor.in_transaction or not errors",
        "if not errors",
        (_REFUSALS, "-k", "caller_s_transaction"),
    ),
    Mutant(
        "enqueue: a transaction without autocommit",
        _BASE,
        "        return connection.in_atomic_block or by_hand\n",
        "        return connection.in_atomic_block\n",
        ("tests/test_router.py", "-k", "without_autocommit"),
    ),
    Mutant(
        "rescue, expire: one that cannot be written",
        _UPKEEP,
        "            if not errors.may_be_the_data_s(error) or len(done.refused) >= _REFUSALS:\n",
        "            if error:\n",
        (_REFUSALS, "-k", "costs_no_other"),
    ),
    Mutant(
        "rescue: none that can be written",
        _UPKEEP,
        " or len(done.refused) >= _REFUSALS",
        "",
        (_REFUSALS, "-k", "soon_gives_up"),
    ),
    Mutant(
        "rescue: those that go back unchanged are told of",
        _UPKEEP,
        "    if written.applied or returned:\n",
        "    if written.applied:\n",
        (_STEPS, "-k", "only_gives_back"),
    ),
    Mutant(
        "revoke: a wish of newer code",
        "django_tasktrack/changes.py",
        " if key in _OF_WISHES",
        "",
        ("tests/exam/test_versions.py", "-k", "holds_up_no_rescue"),
    ),
    Mutant(
        "upkeep: a step whose data is refused",
        "django_tasktrack/maintenance.py",
        "if isinstance(error, errors.TROUBLE) and not errors.may_be_the_data_s(error):",
        "if isinstance(error, errors.TROUBLE):",
        (_STEPS, "-k", "data_is_refused"),
    ),
    Mutant(
        "upkeep: a database that fails",
        "django_tasktrack/maintenance.py",
        "if isinstance(error, errors.TROUBLE) and not errors.may_be_the_data_s(error):",
        "if not error:",
        (_STEPS, "-k", "that_fails_ends"),
    ),
    Mutant(
        "unique: an end frees the key, PostgreSQL",
        _FAST,
        "CASE WHEN l.stage = {Stage.DONE:d} THEN NULL\n                          WHEN l.afresh",
        "CASE WHEN l.afresh",
        (_UNIQUE, _VENDORS, "-k", "frees or free"),
        _SERVER,
    ),
    Mutant(
        "unique: a rerun takes the key again, PostgreSQL",
        _FAST,
        "                          WHEN l.afresh THEN t.unique_key\n",
        "",
        (_UNIQUE,),
        _SERVER,
    ),
    Mutant(
        "unique: the loser's transaction goes on, PostgreSQL",
        _FAST,
        "ON CONFLICT (active_key) WHERE active_key IS NOT NULL DO NOTHING RETURNING id",
        "RETURNING id",
        (_UNIQUE,),
        _SERVER,
    ),
    Mutant(
        "write: the version that was read",
        "django_tasktrack/vendors/bulk.py",
        '    guarded = " AND ".join(f"{_quoted(vendor, columns[name])} = %s" for name in guards)\n',
        '    guarded = f"{_quoted(vendor, columns[guards[0]])} = %s AND %s IS NOT NULL"\n',
        (_GUARDS, "-k", "version_has_moved_on"),
    ),
    Mutant(
        "rescue: whose it was when it was looked for",
        _UPKEEP,
        " if t.worker_id == gone[t.pk]]",
        "]",
        (_GUARDS, "-k", "claimed_anew"),
    ),
    Mutant(
        "rescue: what certainly did not begin goes back as it was",
        _UPKEEP,
        "return _never_began(task) and not task.revoke_requested_at",
        "return False",
        (_VERBS, "-k", "certainly_did_not_begin"),
    ),
    Mutant(
        "rescue: unless somebody wants its end",
        _UPKEEP,
        "return _never_began(task) and not task.revoke_requested_at",
        "return _never_began(task)",
        (_VERBS, "-k", "certainly_did_not_begin"),
    ),
    Mutant(
        "begin: what must not run twice has begun in the table first",
        _SETTLING,
        "certain = [claim for claim in claims if claim.begins_surely]",
        "certain: list[Claim] = []",
        (_GUARDS, "-k", "must_not_run_twice"),
    ),
    Mutant(
        "settle: the culprit of a batch is looked for",
        _SETTLING,
        "            if len(batch) == 1:\n",
        "            if batch:\n",
        (_GUARDS, "-k", "costs_no_other"),
    ),
    Mutant(
        "strays: a second look",
        "django_tasktrack/engines/strays.py",
        "known = self._suspects & unknown.keys()",
        "known = frozenset(unknown)",
        (_GUARDS, "-k", "no_stray"),
        _SERVER,
    ),
    Mutant(
        "revoke: a committed beginning counts",
        _CONTROL,
        "attempt=-1 if began is None and not request.started else 0",
        "attempt=-1 if began is None else 0",
        (_GUARDS, "-k", "counts_though"),
    ),
    Mutant(
        "lost: a worker that hears nothing of itself gives up",
        _REGISTRATION,
        "if silence > self._lease and not self._locked:",
        "if silence > 3600:",
        (_LIVES, "-k", "froze_is_refused"),
        _SERVER,
    ),
    Mutant(
        "heartbeat: whether the worker is dead",
        _HEARTBEAT,
        "if os.getppid() != worker:",
        "if not worker:",
        (_LIVES, "-k", "worker_that_is_dead"),
    ),
    Mutant(
        "heartbeat: whether the worker is stopped",
        _HEARTBEAT,
        "if not _is_stopped(worker):",
        "if worker:",
        (_LIVES, "-k", "worker_that_is_stopped"),
        _SERVER,
    ),
    Mutant(
        "shutdown: only who lives is asked",
        _REGISTRATION,
        "filter(pk=worker_id).alive()",
        "filter(pk=worker_id)",
        (_SHUTDOWN, "-k", "only_those_that_live"),
    ),
    Mutant(
        "shutdown: a new row carries what was asked under the old one",
        _REGISTRATION,
        "            **self._former_requests(),\n",
        "",
        (_SHUTDOWN, "-k", "lost_meanwhile"),
    ),
    *_OF_REQUESTS,
    Mutant(
        "shutdown: the sign of life counts all the same",
        _HEARTBEAT,
        "counted = bool(mine.update(heartbeat_at=now))",
        "counted = False",
        (_SHUTDOWN, "-k", "still_counts"),
    ),
    Mutant(
        "shutdown: a request after a signal is not the second one",
        "django_tasktrack/worker.py",
        "if self._engine and self._asked_to_stop_at is None:",
        "if self._engine:",
        (_SHUTDOWN, "-k", "after_a_signal or grace"),
    ),
    Mutant(
        "liveness: who has its lock is not silent",
        _UPKEEP,
        ".exclude(pk__in=living)",
        "",
        (_LIVES, "-k", "on_sqlite_a_worker_whose_heartbeat_froze"),
    ),
    Mutant(
        "liveness: who has dropped its lock is dead",
        _UPKEEP,
        "silent | Q(pk__in=dead)",
        "silent",
        (_LIVES, "-k", "noticed_at_once"),
    ),
    Mutant(
        "terminate: a group of its own",
        _FORKSERVER,
        "        os.setpgid(0, 0)",
        "        # ",
        (_ENDS, "-k", "second_at_the_most"),
    ),
    Mutant(
        "terminate: what a dead child has started",
        _FORKSERVER,
        "os.killpg(pid, signal.SIGKILL)  # what",
        "pass  # what",
        (_ENDS, "-k", "dies_with_its_process"),
    ),
    Mutant(
        "terminate: no further task while being killed",
        _CHILD_OF,
        "if self.retired or self.telling or self.kill_at != math.inf or self.signals:",
        "if self.retired or self.telling or self.signals:",
        (_ENDS, "-k", "no_further_task"),
    ),
    Mutant(
        "soft limit: no further task while the signal is on its way",
        _CHILD_OF,
        "if self.retired or self.telling or self.kill_at != math.inf or self.signals:",
        "if self.retired or self.telling or self.kill_at != math.inf:",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: what waits behind a long body is taken back",
        _CHILD_OF,
        "overtaken_at = self.began + OVERTAKEN_AFTER if waits else math.inf",
        "overtaken_at = math.inf",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: nothing is given behind a long body",
        _CHILD_OF,
        "return not self.given or now < self.began + OVERTAKEN_AFTER / 2",
        "return True",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: an end must be the running task's",
        _CHILD_OF,
        "if not self.given or self.given[0].number != done.number:",
        "if not self.given:",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: before a signal all is taken back and heard",
        _PREFORK,
        "        self._take_back(child)\n        self._listen(child)\n        return child.claim is not None",
        "        return child.claim is not None",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: what a dead child had not taken waits again",
        _PREFORK,
        "        self._take_back(child)\n        child.close()\n",
        "        child.close()\n",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: a child without sense begins nothing more",
        _PREFORK,
        "            self._take_back(child)\n            self._kill(child, signal.SIGKILL, 1.0)\n",
        "            self._kill(child, signal.SIGKILL, 1.0)\n",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: what is abandoned does not begin",
        _PREFORK,
        "            self._take_all_back()\n            for child",
        "            for child",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: what was withdrawn does not begin",
        _PREFORK,
        "                self._take_back(child)\n                self._wake()\n"
        "            return super().withdraw(task_id)",
        "                self._waiting[task_id] = self._ahead.pop(task_id)\n"
        "            return super().withdraw(task_id)",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: each task may be a child's last",
        _PREFORK,
        "            return 0  # each may be its last one\n",
        "            pass\n",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: what was given and not taken is withdrawn",
        _PREFORK,
        "            if child := self._holder(task_id):\n                self._take_back(child)\n",
        "            if task_id in self._ahead and (child := self._holder(task_id)):\n"
        "                self._take_back(child)\n",
        (_GIVEN,),
    ),
    Mutant(
        "ahead: a child that swallows its ends is not waited for",
        _PREFORK,
        "        if len(child.given) > 1:\n            self._disown(",
        "        if len(child.given) > 99:\n            self._disown(",
        (_GIVEN,),
    ),
    Mutant(
        "autoscale: who was idle for longest ends first",
        _PREFORK,
        "return sorted(idle, key=lambda child: child.idle_since)[:count]",
        "return idle[-count:]",
        (_GIVEN,),
    ),
    Mutant(
        "stop: what has begun in the table alone goes back",
        _ENGINE,
        "            if self._settling.has_begun(claim):",
        "            if False:",
        (_STOPS, "-k", "in_the_table_alone"),
    ),
    Mutant(
        "prefork: a child that is of no further use takes nothing more",
        _CHILD,
        "                if not self._run(*taken):\n                    break\n",
        "                self._run(*taken)\n",
        (_CHILD_TESTS,),
    ),
    Mutant(
        "prefork: a late thread takes nobody's wish",
        _CHILD,
        "            if number != self._number:\n"
        "                return False  # of a thread that outlived its body\n",
        "",
        (_CHILD_TESTS,),
    ),
    Mutant(
        "prefork: a wish is about the task that it names",
        _CHILD,
        "            elif message.number == self._number:\n",
        "            else:\n",
        (_CHILD_TESTS,),
    ),
    Mutant(
        "agenda: what was said meanwhile counts",
        "django_tasktrack/engines/claiming.py",
        "        if self._claim_at:  #",
        "        if True:  #",
        ("tests/vendors/test_agenda.py",),
    ),
    Mutant(
        "agenda: an old one says nothing",
        "django_tasktrack/maintenance.py",
        "        agenda, self._agenda = self._agenda, None\n",
        "        agenda = self._agenda\n",
        ("tests/vendors/test_agenda.py",),
    ),
    Mutant(
        "stop: a service manager's signal to all spares the children",
        _FORKSERVER,
        "        if doom[0]:\n",
        "        if True:\n",
        ("tests/live/test_stopping.py", "-k", "every_process_of_the_service"),
    ),
    Mutant(
        "verbs: what the database breaks off is tried again",
        "django_tasktrack/transitions/door.py",
        "_TRIES = 5",
        "_TRIES = 1",
        (_RACES, "-k", "nobody_s_error"),
        _SERVER,
    ),
    Mutant(
        "fork: signals wait meanwhile",
        "django_tasktrack/forking.py",
        "signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, ())",
        ("tests/test_forking.py",),
    ),
    Mutant(
        "hygiene: the process as it was",
        "django_tasktrack/pools/surroundings.py",
        "        os.fchdir(self._directory)\n",
        "        return True\n        os.fchdir(self._directory)\n",
        (_HOSTILE, "-k", "as_the_first_one_did and prefork"),
    ),
    Mutant(
        "hygiene: connections as they were",
        _HYGIENE,
        "if connection.in_atomic_block or not connection.autocommit or sessions.is_changed(connection):",
        "if connection.in_atomic_block:",
        (_HOSTILE, "-k", "as_the_first_one_did and prefork"),
    ),
    Mutant(
        "log: no exception says a line of its own",
        "django_tasktrack/management/logs.py",
        'return text.replace("\\n", "\\n    ")',
        "return text",
        (_HOSTILE, "-k", "exception_with_control"),
    ),
    Mutant(
        "history: the trigger",
        "django_tasktrack/migrations/0002_history_is_append_only.py",
        "migrations.RunPython(create, drop,",
        "migrations.RunPython(drop, drop,",
        (_HISTORY, "-k", "database_itself"),
    ),
    Mutant(
        "asyncio: the end is told before the connections are looked at",
        _ASYNCIO,
        "            self._post(Finished(claim, outcome, began, ended, waits=bool(verdict)))\n"
        "        self._clean(outcome)\n",
        "            await sync_to_async(clean_connections)()\n"
        "            self._post(Finished(claim, outcome, began, ended, waits=bool(verdict)))\n",
        (_LOOP, "-k", "shared_thread"),
    ),
    Mutant(
        "asyncio: no start waits for the shared thread",
        _ASYNCIO,
        "                self._prepare()\n",
        "                await sync_to_async(prepare_connections)()\n",
        (_LOOP, "-k", "shared_thread"),
    ),
    Mutant(
        "asyncio: a thread for each body that counts as running",
        _ASYNCIO,
        "_Threads(_MANY_THREADS, thread_name_prefix",
        "_Threads(thread_name_prefix",
        (_LOOP, "-k", "do_run"),
    ),
    Mutant(
        "asyncio: a body that runs on keeps no place",
        _ASYNCIO,
        "_Threads(_MANY_THREADS, thread_name_prefix",
        "_Threads(self._places, thread_name_prefix",
        (_LOOP, "-k", "ran_on"),
    ),
    Mutant(
        "asyncio: a body that runs on does not keep the worker",
        _ENGINE,
        "self.left_bodies_running or self._pool.leaves_bodies_running()",
        "self.left_bodies_running",
        (_LOOP, "-k", "ran_on"),
    ),
    Mutant(
        "asyncio: cancelled before its first step is an end too",
        _ASYNCIO,
        "        if body.cancelled():",
        "        if not body:",
        ("tests/pools/test_asyncio.py", "-k", "first_step"),
    ),
    Mutant(
        "stop: it is never put off",
        _ENGINE,
        "min(self._stops, default=None)",
        "self._stops[-1] if self._stops else None",
        (_STOPS,),
    ),
    Mutant(
        "stop: what had not begun is known until its row is free",
        _ENGINE,
        "[c for c in self._claims if (c.task_id, c.lease) in leases]",
        "[]",
        (_STOPS, "-k", "wish"),
        _SERVER,
    ),
    Mutant(
        "stop: a moment more for rows that are held",
        _ENGINE,
        "ends_at = stop_at + _LAST_WORDS if self._released else stop_at",
        "ends_at = stop_at",
        (_STOPS, "-k", "row_is_free"),
        _SERVER,
    ),
    Mutant(
        "stop: nothing stays claimed that nobody knows of",
        _ENGINE,
        "if self._is_idle() and self._strays.are_none():",
        "if self._is_idle():",
        (_STOPS, "-k", "nobody_knows"),
    ),
    Mutant(
        "liveness: a row that is rolled back leaves no lock",
        _LIVENESS,
        "            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, worker_id)\n\n    def lives",
        "            pass\n\n    def lives",
        (_LOCKS,),
    ),
    Mutant(
        "liveness: a lock that is being let go is waited for",
        _LIVENESS,
        "_PATIENCE = 1.0",
        "_PATIENCE = -1.0",
        (_LOCKS,),
    ),
    Mutant(
        "prefork: connections are clean before the end is told",
        _CHILD,
        "        fit = self._clean() and self._surroundings.restore()\n"
        "        self._send(Done(number, outcome, began, ended, _memory(), fit, bool(told)).packed())\n",
        "        fit = self._surroundings.restore()\n"
        "        self._send(Done(number, outcome, began, ended, _memory(), fit, bool(told)).packed())\n"
        "        self._clean()\n",
        (_CHILD_TESTS,),
    ),
    Mutant(
        "fork: what a handler raises leaves no signal blocked",
        _FORKING,
        "    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())\n    try:\n",
        "    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)\n    try:\n",
        ("tests/test_forking.py",),
    ),
    Mutant(
        "write: whose it is, against a zombie, PostgreSQL",
        _FAST,
        "      AND t.lease IS NOT DISTINCT FROM a.lease\n"
        "      AND t.worker_id IS NOT DISTINCT FROM a.worker_id\n",
        "",
        (_DEATHS, "-k", "late_end"),
        _SERVER,
    ),
    Mutant(
        "write: whose it is, against a zombie, MariaDB",
        _BASE,
        "        and task.lease == change.lease\n        and task.worker_id == change.worker_id\n",
        "",
        (_DEATHS, "-k", "late_end"),
        _MARIADB,
    ),
    Mutant(
        "claim: a new lease, PostgreSQL",
        _FAST,
        "lease = t.lease + 1, attempt",
        "attempt",
        (_VENDORS, "-k", "raises_the_lease"),
        _SERVER,
    ),
    Mutant(
        "claim: not what has expired",
        _BASE,
        "_IN_OPEN_QUEUE).not_expired(self.now())",
        "_IN_OPEN_QUEUE)",
        (_VENDORS, "-k", "has_expired"),
    ),
    Mutant(
        "claim: not what has expired, PostgreSQL",
        _FAST,
        "          AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())\n",
        "",
        (_VENDORS, "-k", "has_expired"),
        _SERVER,
    ),
    Mutant(
        "progress: none after the end",
        _BASE,
        ".many(asked).filter(stage=Stage.CLAIMED)\n            leases",
        ".many(asked)\n            leases",
        (_VENDORS, "-k", "progress_after_the_end"),
    ),
    Mutant(
        "progress: none after the end, PostgreSQL",
        _FAST,
        "t.lease IS NOT DISTINCT FROM a.lease\n"
        "               AND t.stage IS NOT DISTINCT FROM {Stage.CLAIMED:d}\n",
        "t.lease IS NOT DISTINCT FROM a.lease\n",
        (_VENDORS, "-k", "progress_after_the_end"),
        _SERVER,
    ),
    Mutant(
        "progress: a later attempt's stays, PostgreSQL",
        _FAST,
        "WHERE {_PROGRESS}.lease <= EXCLUDED.lease\n",
        "",
        (_RACES, "-k", "report_that_waits"),
        _SERVER,
    ),
    Mutant(
        "progress: a later attempt's stays, which is written at the same moment",
        _BASE,
        "            rows.filter(pk=row.pk, lease__lte=row.lease).update(**values)\n",
        "            rows.filter(pk=row.pk).update(**values)\n",
        (_RACES, "-k", "report_that_waits"),
        _SERVER,
    ),
    Mutant(
        "progress: a later attempt's stays, MariaDB",
        _BASE,
        "if not rows.filter(pk=row.pk, lease__lte=row.lease).update(**values):",
        "if not rows.filter(pk=row.pk).update(**values):",
        (_RACES, "-k", "report_that_waits"),
        _MARIADB,
    ),
    Mutant(
        "lost: too many crashes",
        _ATTEMPTS,
        "give_up = not rerun or (counted and crashes >= config().MAX_CRASHES)",
        "give_up = not rerun",
        (_VERBS, "-k", "too_many_workers"),
    ),
    Mutant(
        "lost: what must not run twice",
        _ATTEMPTS,
        "give_up = not rerun or (counted and crashes >= config().MAX_CRASHES)",
        "give_up = counted and crashes >= config().MAX_CRASHES",
        (_VERBS, "-k", "must_not_run_twice"),
    ),
    Mutant(
        "rescue: a wish to end it is answered",
        _UPKEEP,
        "    if task.revoke_requested_at:\n        request",
        "    if task.pk is None:\n        request",
        (_VERBS, "-k", "somebody_wanted_to_end"),
    ),
    Mutant(
        "rescue: a start that nobody saw is no crash",
        _UPKEEP,
        "        counted=seen,\n",
        "        counted=True,\n",
        (_VERBS, "-k", "is_no_crash"),
    ),
    Mutant(
        "retry: the limit of what is retried by itself",
        "django_tasktrack/runner.py",
        " and not exhausted(claim.retries, limit)",
        "",
        ("tests/test_runner.py", "-k", "last_allowed_attempt"),
    ),
    Mutant(
        "retry: the limit of self.retry()",
        "django_tasktrack/bound.py",
        "if exhausted(claim.retries, claim.max_retries if max_retries is None else max_retries):",
        "if exc is self:",
        ("tests/test_declaration.py", "tests/test_runner.py", "-k", "exhausted"),
    ),
    Mutant(
        "retry: what is being handled does not hide the limit of self.retry()",
        "django_tasktrack/bound.py",
        "            if exc is not None:  # what",
        "            exc = exc or sys.exc_info()[1]\n            if exc is not None:  # what",
        ("tests/test_declaration.py", "-k", "can_be_told_from"),
    ),
    Mutant(
        "hard limit: it comes",
        _CHILD_OF,
        "self.hard_at = math.inf if hard is None else self.began + hard",
        "self.hard_at = math.inf",
        (_LIMITS, "-k", "swallows_everything"),
    ),
    Mutant(
        "hard limit: what has passed it is killed",
        _PREFORK,
        "child.hard_at, child.kill_at = math.inf, now",
        "child.hard_at = math.inf",
        (_LIMITS, "-k", "swallows_everything"),
    ),
    Mutant(
        "payload: its size",
        _PAYLOADS,
        "    if size > limit:\n",
        "    if size < 0:\n",
        (_PAYLOAD_TESTS, "-k", "size or megabytes"),
    ),
    Mutant(
        "payload: its depth where it is handed on",
        _PAYLOADS,
        "MAX_DEPTH = 28\n",
        "MAX_DEPTH = 30\n",
        (_SERIALIZERS, "-k", "handed_on and nested"),
    ),
    Mutant(
        "payload: its depth with tags that it may get later",
        "django_tasktrack/serializers.py",
        "        packing.pack(json.loads(text), what)\n",
        "        pass\n",
        (_SERIALIZERS, "-k", "handed_on and marked"),
    ),
    Mutant(
        "payload: its depth",
        _PAYLOADS,
        'if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):',
        "if _is_deeper(None, 0):",
        (_PAYLOAD_TESTS, "-k", "deep_value"),
    ),
    Mutant(
        "payload: only classes that are allowed",
        "django_tasktrack/allowed.py",
        "    if isinstance(found, type) and found.__module__ == module and _can_be_carried(found):",
        "    if isinstance(found, type):",
        (_SERIALIZERS, "-k", "lends_out"),
    ),
    Mutant(
        "payload: no module that it names is imported",
        "django_tasktrack/allowed.py",
        "    return None\n\n\ndef _defined_in",
        '    return _defined_in(*name.rsplit(".", 1))\n\n\ndef _defined_in',
        (_SERIALIZERS, "-k", "nothing_is_imported"),
    ),
    Mutant(
        "payload: a user's dict that looks like a tag",
        "django_tasktrack/packing.py",
        "    if MARK not in value and all(type(key) is str for key in value):",
        "    if all(type(key) is str for key in value):",
        (_SERIALIZERS, "-k", "looks_like_a_tag"),
    ),
    Mutant(
        "payload: a user's dict that looks like a tagged payload",
        "django_tasktrack/serializers.py",
        "    if isinstance(value, dict) and MARK in value:\n        value =",
        "    if None:\n        value =",
        (_SERIALIZERS, "-k", "looks_like_a_tag"),
    ),
    Mutant(
        "payload: what is not accepted is not decoded",
        "django_tasktrack/serializers.py",
        "    if kind not in config().ACCEPT_CONTENT:",
        "    if kind is None:",
        (_SERIALIZERS, "-k", "do_not_accept"),
    ),
    Mutant(
        "log: one record is one line",
        _LOGS,
        "return one_line(super().formatMessage(record))",
        "return super().formatMessage(record)",
        (_LOG_TESTS, "-k", "one_line"),
    ),
    Mutant(
        "log: nothing in a traceback speaks to the terminal",
        _LOGS,
        "plain_lines(super().format(record))",
        "super().format(record)",
        (_LOG_TESTS, "-k", "traceback"),
    ),
    Mutant(
        "purge: what has ended alone",
        _PURGE,
        "stage=Stage.DONE, state=rule.state, finished_at__lte=before",
        "finished_at__lte=before",
        ("tests/test_purge.py", "-k", "unfinished_tasks_stay"),
    ),
    Mutant(
        "purge: nothing that runs again at this moment",
        _PURGE,
        "vendor.locked(tasks, wait=False)",
        "tasks",
        (_RACES, "-k", "purge_against_rerun"),
        _SERVER,
    ),
    Mutant(
        "retention: values that are waited for",
        _PURGE,
        ".many(ids).not_awaited()",
        ".many(ids)",
        (_CANVAS, "-k", "do_not_expire"),
    ),
    Mutant(
        "retention: ends that are still to be followed up",
        _QUERYSETS,
        "Q(state=links.State.OPEN) | Q(wants, state=links.State.PASSED)",
        "Q(wants, state__in=(links.State.OPEN, links.State.PASSED))",
        (_CANVAS, "-k", "followed_up"),
    ),
    Mutant(
        "retention: values of a group that goes on",
        _PURGE,
        " and group not in open_groups",
        "",
        (_PURGES, "-k", "of_a_group"),
    ),
    Mutant(
        "retention: tasks that others know",
        "django_tasktrack/retention.py",
        "name not in self.elsewhere and ",
        "",
        (_PURGES, "-k", "only_other_workers_know"),
    ),
    Mutant(
        "retention: the horizon is of our own ids",
        _PURGE,
        "max(filter(is_ours, ids), default=None)",
        "max(ids)",
        (_PURGES, "-k", "caller_chose"),
    ),
    Mutant(
        "retention: no step without its value",
        _PURGE,
        "    if in_vain:\n",
        "    if False:\n",
        (_CANVAS, "-k", "without_its_value"),
    ),
    Mutant(
        "retention: one worker at a time",
        "django_tasktrack/sweeping.py",
        "self._vendor.locked(sweeps, wait=False).first()",
        "sweeps.first()",
        ("tests/test_races.py", "-k", "one_does_each_batch"),
        _SERVER,
    ),
    Mutant(
        "retention: a None that was returned is no value",
        _PURGE,
        "tasks.filter(result__isnull=False).exclude(result=none)",
        "tasks",
        (_PURGES, "-k", "none_that_was_returned"),
    ),
    Mutant(
        "retention: a rule begins anew",
        "django_tasktrack/sweeping.py",
        " or now - row.began_at > ANEW",
        "",
        ("tests/test_sweeping.py", "-k", "passed_by"),
    ),
    Mutant(
        "history: no update by querysets",
        _QUERYSETS,
        'raise TasktrackError("History is append-only.", hint="Record a new change instead.")',
        "super().update(**values)  # type: ignore[misc]",
        (_HISTORY, "-k", "orm_refuses"),
    ),
    Mutant(
        "history and tasks: no deletion by querysets",
        _QUERYSETS,
        "    def delete(self) -> NoReturn:\n",
        "    def _kept(self) -> NoReturn:\n",
        (_HISTORY, "-k", "orm_refuses"),
    ),
    Mutant(
        "history: no save",
        _MODELS,
        'raise TasktrackError("History is append-only and written with the state it tells of.")',
        "super().save(*args, **kwargs)",
        (_HISTORY, "-k", "orm_refuses"),
    ),
    Mutant(
        "history: no deletion",
        _MODELS,
        'raise TasktrackError("History is deleted by purge alone.", hint="manage.py tasktrack purge")',
        "super().delete(*args, **kwargs)",
        (_HISTORY, "-k", "orm_refuses"),
    ),
    Mutant(
        "tasks: no deletion",
        _MODELS,
        'raise TasktrackError("Tasks are deleted by purge alone.", hint="manage.py tasktrack purge")',
        "super().delete(*args, **kwargs)",
        (_HISTORY, "-k", "orm_refuses"),
    ),
    Mutant(
        "fork: no connection is open, children",
        _FORKSERVER,
        "        hang_up()\n        if threading",
        "        if threading",
        (_FORKS, "-k", "no_connection"),
    ),
    Mutant(
        "fork: no connection is open, heartbeat",
        _HEARTBEAT,
        "        hang_up()\n        self._link, theirs",
        "        self._link, theirs",
        (_FORKS, "-k", "no_connection"),
    ),
    Mutant(
        "fork: no pool is shared",
        _FORKING,
        "            connection.close_pool()\n",
        "            pass\n",
        ("tests/exam/test_connections.py", "-k", "forked_it"),
        _SERVER,
    ),
    Mutant(
        "worker: it keeps no session of a pool",
        "django_tasktrack/worker.py",
        "        connections.close_all()  # this thread",
        "        # this thread",
        ("tests/exam/test_connections.py", "-k", "takes_no_session"),
        _SERVER,
    ),
    Mutant(
        "connect: it listens again",
        _ENGINE,
        "            self._listening = self._vendor.listen(self._on_notified)\n",
        "            self._listening = self._vendor.listen(self._on_notified)"
        " if self._revision is None else None\n            self._revision = 0\n",
        (_GUARDS, "-k", "listens_anew"),
        _SERVER,
    ),
    Mutant(
        "parent: the children die with the server that has forked them",
        _FORKSERVER,
        "        _die_with_parent(server)\n        main()\n",
        "        main()\n",
        (_DEATHS, "-k", "server_that_has_forked"),
    ),
    Mutant(
        "parent: what tasks have started dies with the worker",
        _FORKSERVER,
        "        for pid in children:\n            _signal_group(pid, signal.SIGKILL)\n        os._exit(0)",
        "        os._exit(0)",
        (_DEATHS, "-k", "without_their_parent"),
    ),
    Mutant(
        "connections: CONN_MAX_AGE",
        _HYGIENE,
        '    if aged and connection.settings_dict["CONN_MAX_AGE"]:\n        return True\n',
        "",
        (_HYGIENE_TESTS, "-k", "age"),
    ),
    Mutant(
        "connections: a CONN_MAX_AGE of 0 speaks of requests",
        _HYGIENE,
        'if aged and connection.settings_dict["CONN_MAX_AGE"]:',
        "if aged:",
        (_HYGIENE_TESTS, "-k", "age"),
    ),
    Mutant(
        "connections: those of a pool go back",
        _HYGIENE,
        "        return True  # closing it gives it back\n",
        "        pass\n",
        (_HYGIENE_TESTS, "-k", "behind_each_body"),
        _SERVER,
    ),
    Mutant(
        "connect: not from a pool",
        _SESSIONS,
        'for name, value in given.items() if name != "pool"}',
        "for name, value in given.items()}",
        (_HYGIENE_TESTS, "-k", "worker_itself"),
        _SERVER,
    ),
    Mutant(
        "schedules: the slot is there once",
        "django_tasktrack/migrations/0007_schedules.py",
        "[models.UniqueConstraint(fields=('schedule', 'slot'), name='tasktrack_schedule_slot')]",
        "[]",
        (_FIRES, "-k", "whatever_the_row_says or as_it_was"),
    ),
    Mutant(
        "schedules: a slot that is taken gets no task",
        _FIRING,
        "    except IntegrityError:\n        return None\n",
        "    except IntegrityError:\n        pass\n",
        (_FIRES, "-k", "whatever_the_row_says or as_it_was"),
    ),
    Mutant(
        "schedules: slot, task and row in one transaction",
        _FIRING,
        "fired += transitions.whole(vendor, partial(_fire, vendor, pk, now))",
        "fired += _fire(vendor, pk, now)",
        ("tests/exam/test_crash_points.py", "-m", "long or not long", "-k", "running_a_schedule"),
    ),
    Mutant(
        "schedules: a row that somebody holds is passed over, PostgreSQL",
        _FIRING,
        'return vendor.locked(due.order_by("pk"), wait=False).first()',
        'return vendor.locked(due.order_by("pk")).first()',
        ("tests/schedules/test_races.py", "-k", "passed_over"),
        _SERVER,
    ),
    Mutant(
        "schedules: a disabled one is not run",
        _FIRING,
        "Schedule.objects.using(vendor.using).active().filter(pk=pk, next_at__lte=now)",
        "Schedule.objects.using(vendor.using).filter(pk=pk, next_at__lte=now)",
        ("tests/schedules/test_firing.py", "-k", "meanwhile"),
    ),
    Mutant(
        "schedules: a gap's times run right after it",
        _CRONS,
        "yield _end_of_gap(wall, zone) if before < behind else _utc(wall, before)",
        "yield _utc(wall, before)",
        (_SLOTS, "-k", "clocks_change"),
    ),
    Mutant(
        "schedules: what comes twice runs once",
        _CRONS,
        "next((slot for slot in slots if slot > after), None)",
        "next(slots, None)",
        (_LATE_SLOTS, "-k", "second_pass"),
    ),
    Mutant(
        "schedules: by the hour, both passes",
        _CRONS,
        "if before > behind and not again:",
        "if False:",
        (_SLOTS, "-k", "clocks_change"),
    ),
    Mutant(
        "schedules: by the hour, no time that does not exist",
        _CRONS,
        "            if first >= second:  # else it does not exist",
        "            if True:",
        (_SLOTS, "-k", "clocks_change"),
    ),
    Mutant(
        "schedules: the latest of what was missed",
        _TIMINGS,
        "return found[-count:]",
        "return found[:count]",
        (_LATE_SLOTS, "-k", "missed or latest"),
    ),
    Mutant(
        "schedules: what was missed is not made up for unasked",
        _TIMINGS,
        "return found if catch_up else [one for one in found if now - one <= ON_TIME]",
        "return found",
        (_LATE_SLOTS, "-k", "missed"),
    ),
    Mutant(
        "schedules: what a person has changed stays",
        _FOLLOWING,
        "untouched = name in before and getattr(row, name) == before[name]",
        "untouched = name in before",
        (_FOLLOWS, "-k", "person"),
    ),
    Mutant(
        "schedules: newer code's are not withdrawn",
        _FOLLOWING,
        "ids = [pk for pk, task in gone if task not in theirs]",
        "ids = [pk for pk, task in gone]",
        (_FOLLOWS, "-k", "old_code"),
    ),
    Mutant(
        "schedules: a person's change leaves the next slot",
        _PLANNING,
        "row.save(using=vendor.using, update_fields=sorted(columns))",
        "row.save(using=vendor.using)",
        (_FOLLOWS, "-k", "leaves_what_a_worker_writes"),
    ),
    Mutant(
        "schedules: a held one is asked for with a pause",
        "django_tasktrack/schedules/scheduler.py",
        "            self.due_at = max(self.due_at, time.monotonic() + _PAUSE / 2)\n",
        "            pass\n",
        ("tests/schedules/test_scheduler.py", "-k", "without_a_pause"),
    ),
    Mutant(
        "schedules: one that cannot be run holds up no other",
        _FIRING,
        "            transitions.whole(vendor, partial(_go_on, vendor, pk, now, planning.told(error)))",
        "            raise",
        (_FIRES, "-k", "holds_up_no_other"),
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: its tests failed ("killed"), or they did not see it."""

    mutant: Mutant
    outcome: str
    seconds: float

    def line(self) -> str:
        return f"{self.outcome:>9}  {self.seconds:4.0f} s  {self.mutant.guard}  ({self.tests()})"

    def tests(self) -> str:
        return " ".join(self.mutant.tests).replace("tests/exam/", "").replace("tests/", "")


def main(wanted: list[str]) -> int:
    """Try them all; 0 only if each was killed, but for those whose database there is not."""
    publish = "--publish" in wanted
    wanted = [part for part in wanted if part != "--publish"]
    if publish and wanted:
        print("--publish is for all mutants.")
        return 2
    revision = publishing.commit()
    mutants = [m for m in MUTANTS if not wanted or any(part in m.guard for part in wanted)]
    verdicts, red = _verdicts(mutants)
    told = summary(verdicts)
    for tests in red:
        print(f"These fail with every guard in its place: {tests}")
    print(f"\n{told}.")
    if publish:
        publishing.publish("mutants", _page(revision, verdicts))
    return int(any(verdict.outcome not in ("killed", _NO_SERVER) for verdict in verdicts))


#: Seconds that the tests of one guard may take.
_PATIENCE = 300.0
_NO_SERVER = "no server"
_PROVES_NOTHING = "no proof"


def _verdicts(mutants: Sequence[Mutant]) -> tuple[list[Verdict], list[str]]:
    """What became of each; and the tests that fail with every guard in its place, which prove nothing."""
    verdicts, red = [], {}
    with tempfile.TemporaryDirectory(prefix="tasktrack-mutants-") as directory:
        tree = Path(directory) / "tree"
        _copy(tree)
        here = [mutant for mutant in mutants if _is_there(mutant.database)]
        red = dict(_red_without_mutants(here, tree))
        for mutant in mutants:
            if mutant not in here:
                verdicts.append(Verdict(mutant, _NO_SERVER, 0.0))
            elif (mutant.tests, mutant.database) in red:
                verdicts.append(Verdict(mutant, _PROVES_NOTHING, 0.0))
            else:
                verdicts.append(_try(mutant, tree))
            print(verdicts[-1].line(), flush=True)
    return verdicts, list(red.values())


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many were killed, and what became of the others."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    told = [f"{counts.pop('killed', 0)} of {len(verdicts)} guards have a test that misses them"]
    without = counts.pop(_NO_SERVER, 0)
    told += [f"{count} {outcome}" for outcome, count in counts.items()]
    told += [f"{without} could not be tried: {_NO_SERVER}"] if without else []
    return "; ".join(told)


def _page(revision: str, verdicts: Sequence[Verdict]) -> str:
    lines = ["| guard | database | without it |", "| --- | --- | --- |"]
    lines += [
        f"| {verdict.mutant.guard} | {verdict.mutant.database} | {verdict.outcome} |"
        for verdict in verdicts
    ]
    return (
        f"Mutants on {date.today()}, {revision}: {summary(verdicts)}.\n\n" + "\n".join(lines) + "\n"
    )


def _is_there(database: str) -> bool:
    return database != "mysql" or bool(os.environ.get(MYSQL))


def _copy(tree: Path) -> None:
    keep_out = shutil.ignore_patterns(".git", ".venv*", "*.sqlite3*", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, tree, ignore=keep_out)


Run = tuple[tuple[str, ...], str]


def _red_without_mutants(mutants: Sequence[Mutant], tree: Path) -> Iterator[tuple[Run, str]]:
    """Tests that prove nothing, because they fail anyhow."""
    for tests, database in dict.fromkeys((m.tests, m.database) for m in mutants):
        if _run(tests, database, tree):
            yield (tests, database), f"{' '.join(tests)} ({database})"


def _try(mutant: Mutant, tree: Path) -> Verdict:
    path = tree / mutant.path
    text = path.read_text()
    began = time.monotonic()
    if text.count(mutant.old) != 1:
        return Verdict(mutant, "not found", 0.0)
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        code = _run(mutant.tests, mutant.database, tree)
    finally:
        path.write_text(text)
    outcomes = {0: "survived", 1: "killed"}  # others: no test ran, or none could
    return Verdict(mutant, outcomes.get(code, f"error {code}"), time.monotonic() - began)


def _run(tests: Sequence[str], database: str, tree: Path) -> int:
    environment = os.environ | {CHOICE: database}
    if database != "mysql":
        environment.pop(MYSQL, None)
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "--create-db", *tests]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=tree, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        return process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        return 1  # without a guard, waiting for ever is a way to fail
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
