"""The cases of the exam by number, and which databases each is for."""

from __future__ import annotations

from dataclasses import dataclass

ALL = frozenset({"sqlite", "postgresql", "mysql"})
SERVERS = frozenset({"postgresql", "mysql"})
POSTGRES = frozenset({"postgresql"})


@dataclass(frozen=True, slots=True)
class Case:
    """One case: what is done to the workers, or what they are given.

    Attributes:
        title: in a few words.
        databases: those that it means something on.
        missing: why it is not run, where it is not.
        deviation: what it does otherwise than was asked for, or leaves out.
    """

    title: str
    databases: frozenset[str] = ALL
    missing: str = ""
    deviation: str = ""


CASES: dict[str, Case] = {
    "1": Case("one worker of four is killed in the middle of the load"),
    "2": Case(
        "all workers are killed, and come back after 10 s",
        deviation="R counts from the first new worker's row, not from its start: how long a process boots is the"
        " machine's affair",
    ),
    "3": Case(
        "one worker is killed every 2 s for 60 s, at 50 tasks a second",
        deviation="15 kills of the 30 are enough on a busy machine; a worker may take 20 s to start",
    ),
    "4": Case(
        "only the parent is killed; only a child is killed",
        deviation="a second more than the 1 s is granted to a busy machine",
    ),
    "5": Case(
        "restart under the same name; the dead worker's row deleted first",
        deviation="where the system does not give the same pid, the dead worker's row says so; R or the boot, whichever is longer",
    ),
    "6": Case("crash points: the process ends before and after every statement"),
    "7": Case(
        "a worker is frozen for 15 s and wakes up",
        SERVERS,
        deviation="not on SQLite: a frozen worker keeps the lock that says it lives, and its task waits for it;"
        " it wakes up while the bodies of the second attempts are held still, so that what changes would be its;"
        " 2 s more than the 2 s are granted to a busy machine",
    ),
    "8": Case(
        "the heartbeat alone stops",
        deviation="on SQLite a lock tells who lives: a worker whose heartbeat is frozen keeps its task there",
    ),
    "9": Case("a stale end after an operator's retry has rewound the attempts"),
    "10": Case("a C call that holds the interpreter's lock for longer than the lease"),
    "11": Case("rescue against finish, 1,000 races"),
    "12": Case("SIGTERM with tasks of 1 s"),
    "13": Case(
        "SIGTERM with a task of 60 s",
        deviation="with a grace of 2 s; three seconds more, until its process has ended, are granted to a busy machine",
    ),
    "14": Case(
        "a second SIGTERM",
        deviation="three seconds more than the 1 s are granted to a busy machine",
    ),
    "15": Case("SIGTERM at boot, between claim and start, with the database down"),
    "16": Case("the server restarts (fast) under load", POSTGRES),
    "17": Case("the server stops (immediate) for 15 s", POSTGRES),
    "18": Case("sessions are killed, 5 a second", POSTGRES),
    "19": Case(
        "a network that resets, swallows and delays",
        POSTGRES,
        deviation="these workers prepare no statements",
    ),
    "20": Case(
        "ambiguous commits: the reply to COMMIT is lost",
        POSTGRES,
        deviation="without schedules, which come later; these workers prepare no statements, so that the proxy"
        " knows them by their text",
    ),
    "21": Case(
        "the listening session is killed",
        POSTGRES,
        deviation="the 5 s until it listens again are shown with polls 1 s apart",
    ),
    "22": Case(
        "read-only for 10 s; connections exhausted for 60 s",
        POSTGRES,
        deviation="the workers' lease outlasts it (30 s, 120 s): one that is silent for a lease gives its outcomes up",
    ),
    "23": Case("PgBouncer in transaction mode", POSTGRES),
    "24": Case("deadlocks and serialisation failures", SERVERS),
    "25": Case(
        "SERIALIZABLE as the default isolation",
        POSTGRES,
        deviation="callers try their own transactions again, as they must",
    ),
    "26": Case("a foreign row lock; a table lock for 30 s", SERVERS),
    "27": Case(
        "a session idle in its transaction",
        POSTGRES,
        deviation="two minutes; 3x holds for the median, and for the p99 of a claim above 50 ms",
    ),
    "28": Case(
        "the disk is full",
        deviation="not on MariaDB, whose disk nobody may fill; the workers' lease outlasts it",
    ),
    "29": Case("history cannot be written; a result cannot be written"),
    "30": Case("enqueued in 1,000 transactions that were rolled back"),
    "31": Case(
        "one unique key, 32 processes",
        deviation="8 processes on SQLite; on MariaDB callers whose own transaction is a deadlock's victim try again",
    ),
    "32": Case(
        "rescue and retry of 500 with a unique conflict",
        deviation="a retry of 500 by a person as well; no orphan can conflict by itself, so one is made by hand",
    ),
    "33": Case("enqueue_many of 10,000 with one bad call"),
    "34": Case(
        "revoke against start, 5,000 races",
        deviation="one task at a time against one child, revoked when it was about to be started; no worker had"
        " what was waiting yet, and those that were over had ended",
    ),
    "35": Case("revoke against finish, retry and rescue"),
    "36": Case(
        "terminate, 1,000 times, with grandchildren and siblings",
        deviation="grace + 1 s for each alone; ten at once are granted 4 s",
    ),
    "37": Case(
        "always raises, five attempts; on_lost='fail'",
        deviation="the quietest of twelve pauses is bounded, and the average of those with jitter",
    ),
    "38": Case("tasks that kill their process, beside 200 healthy ones"),
    "39": Case(
        "much memory under a limit",
        deviation="the limit of 256 MB replaces the child after its task; the system's own refuses the gigabyte",
    ),
    "40": Case("a task that swallows everything meets its time limit"),
    "41": Case("a task leaves transactions, threads and handlers behind"),
    "42": Case("arguments and results that cannot be carried"),
    "43": Case("NaN, NUL, surrogates, large numbers: one verdict everywhere"),
    "44": Case("huge and deep values"),
    "45": Case("control characters in names and exceptions"),
    "46": Case(
        "workers an hour ahead and behind",
        deviation="not on SQLite, which has the clock of its process; needs libfaketime, which is compiled",
    ),
    "47": Case(
        "clocks that change in Berlin, New York and on Lord Howe, against an oracle",
        deviation="two days around each change, of twelve years",
    ),
    "48": Case(
        "three schedulers, one killed, one frozen for 15 s, 120 ticks of a second",
        deviation="it makes up for missed slots, so that none may be missing either",
    ),
    "49": Case("a task that nobody knows"),
    "50": Case(
        "old and new code together over a migration",
        deviation="the migration adds a column that is made up for the test; the producers tell the test the ids"
        " instead of appending them to the ledger",
    ),
    "51": Case("history is changed or deleted by hand"),
    "52": Case("purge under load"),
    "53": Case(
        "a million waiting and a million finished",
        POSTGRES,
        deviation="the quietest of five series, with synchronous_commit off: how fast the disk is, is not asked;"
        " one row of history a task",
    ),
    "54": Case(
        "100,000 tasks in one worker: nothing grows",
        deviation="the prefork and the threads pool; 20,000 tasks on MariaDB",
    ),
    "55": Case(
        "four workers and four producers on SQLite",
        frozenset({"sqlite"}),
        deviation="the producers tell the test the ids instead of appending them to the ledger",
    ),
    "56": Case("the whole suite on MariaDB", frozenset({"mysql"})),
    "57": Case(
        "threads enqueue and revoke; fork after connect",
        deviation="a file has no sessions to share: on SQLite everything works, and no more is shown",
    ),
    "M1": Case(
        "state machine against a model, random steps",
        deviation="no clock is injected: the database's decides, and rows are moved in time instead",
    ),
    "M2": Case(
        "interleavings of two connections",
        SERVERS,
        deviation="two connections, not three; beyond 1,000 orders a sample of the others",
    ),
    "M3": Case("seeded failpoints"),
    "M4": Case(
        "exhaustive search of the protocol",
        frozenset({"sqlite"}),
        deviation="three workers with one task and two or three claims; two tasks with one claim each",
    ),
    "M5": Case(
        "properties: payloads, backoff, cron",
        deviation="redaction comes with its feature",
    ),
    "M6": Case("soak with random faults and the ledger"),
}
