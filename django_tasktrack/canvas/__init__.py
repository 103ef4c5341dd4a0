"""Calls that belong together: one after another, at the same time, one when all others have ended.

They are rows from the moment they are enqueued, and each is released in the transaction of the end that it
has waited for, so that no crash loses a step or doubles it.
"""

from .shapes import chain, chord, chunks, group, xmap, xstarmap
from .signatures import Signature, maybe_signature, signature

__all__ = [
    "Signature",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "signature",
    "xmap",
    "xstarmap",
]
