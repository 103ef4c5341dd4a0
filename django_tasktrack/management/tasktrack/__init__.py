"""The verbs of ``manage.py tasktrack``, in the order in which ``--help`` lists them.

A new one is a module with a ``Verb``, and its line here.
"""

from . import (
    doctor,
    enqueue,
    inspect,
    limits,
    ls,
    pausing,
    pool,
    purge,
    queues,
    retry,
    revoke,
    show,
    shutdown,
    stats,
    tail,
    workers,
)
from .verb import Verb

VERBS: tuple[Verb, ...] = (
    stats.VERB,
    ls.VERB,
    show.VERB,
    tail.VERB,
    doctor.VERB,
    enqueue.VERB,
    revoke.VERB,
    retry.VERB,
    limits.RATE,
    limits.TIME,
    pausing.PAUSE,
    pausing.RESUME,
    inspect.VERB,
    workers.VERB,
    workers.PING,
    pool.VERB,
    queues.VERB,
    shutdown.VERB,
    purge.VERB,
)
