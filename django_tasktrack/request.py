"""An attempt under the names that Celery gives its parts: ``self.request``."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from .outcomes import Claim
from .payloads import decode

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 200
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt of a task. Outside of one, empty.

    Attributes:
        retries: as Celery counts them: attempts that ended by themselves before this one.
        hostname: the worker's name.
        eta, expires: datetimes.
        timelimit: the hard and the soft one that the task itself has, in seconds.
        root_id, parent_id: the task that all began with, and the one that enqueued this one.
    """

    id: str | None = None
    task: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0
    retries: int = 0
    hostname: str | None = None
    delivery_info: Mapping[str, Any] = field(default_factory=dict)
    eta: datetime | None = None
    expires: datetime | None = None
    owner: str = ""
    timelimit: tuple[float | None, float | None] = (None, None)
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    ignore_result: bool = False
    is_eager: bool = False

    @classmethod
    def of_claim(
        cls, claim: Claim, args: tuple[Any, ...], kwargs: Mapping[str, Any], hostname: str
    ) -> Request:
        """What a claimed task sees of its attempt."""
        task_id = str(claim.task_id)
        return cls(
            id=task_id,
            task=claim.name,
            args=args,
            kwargs=kwargs,
            attempt=claim.attempt,
            retries=claim.retries,
            hostname=hostname,
            delivery_info={
                "exchange": "",
                "routing_key": claim.queue,
                "priority": claim.priority,
                "redelivered": claim.losses > 0,
            },
            eta=claim.eta,
            expires=claim.expires_at,
            owner=claim.owner,
            timelimit=(claim.time_limit, claim.soft_time_limit),
            is_eager=claim.is_eager,
            **related(claim, task_id),
        )

    @property
    def called_directly(self) -> bool:
        """Whether no worker runs the task: its body was called as a plain function."""
        return self.id is None

    @property
    def correlation_id(self) -> str | None:
        """The task's id: there is no message that could have another one."""
        return self.id

    @property
    def origin(self) -> str | None:
        """Who enqueued it, where the caller has put that into the headers."""
        return self.headers.get("origin")

    @property
    def reply_to(self) -> None:
        """Nobody: results are asked for, not sent."""

    @property
    def utc(self) -> bool:
        """Celery's word for times that mean the same everywhere."""
        return True

    @property
    def argsrepr(self) -> str:
        """The arguments, for people; cut where they are long."""
        return _SHORT.repr(self.args)

    @property
    def kwargsrepr(self) -> str:
        """The keyword arguments, for people; cut where they are long."""
        return _SHORT.repr(dict(self.kwargs))

    @property
    def request_dict(self) -> dict[str, Any]:
        """The headers that a message would have: the task's own, and Celery's, which go before them."""
        return {
            **self.headers,
            "id": self.id,
            "task": self.task,
            "retries": self.retries,
            "eta": self.eta,
            "expires": self.expires,
            "timelimit": list(self.timelimit),
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group": self.group,
            "origin": self.origin,
            "argsrepr": self.argsrepr,
            "kwargsrepr": self.kwargsrepr,
            "ignore_result": self.ignore_result,
        }

    #: Where receivers of ``task_received`` look for them.
    _request_dict = request_dict

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute of this name, as of a dict."""
        return getattr(self, name, default)


class Related(Protocol):
    """What a claim, a row and a new task say of the tasks around them. Headers may be JSON text."""

    @property
    def root_id(self) -> UUID | None: ...
    @property
    def parent_id(self) -> UUID | None: ...
    @property
    def group_id(self) -> UUID | None: ...
    @property
    def headers(self) -> Any: ...
    @property
    def ignore_result(self) -> bool: ...


def related(one: Related, task_id: str) -> dict[str, Any]:
    """What it says of the tasks around it and of its headers, in the words of a request."""
    headers = decode(one.headers) if isinstance(one.headers, str) else one.headers
    return {
        "root_id": str(one.root_id) if one.root_id else task_id,
        "parent_id": str(one.parent_id) if one.parent_id else None,
        "group": str(one.group_id) if one.group_id else None,
        "headers": headers or {},
        "ignore_result": one.ignore_result,
    }
