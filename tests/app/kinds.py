"""Classes of a project that payloads may, or may not, carry."""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass, field
from decimal import Decimal

from django.db import models

from django_tasktrack import serializable


@serializable
class Color(enum.Enum):
    RED = object()  # whatever it is, members go by name
    GREEN = 2
    VERT = GREEN


@serializable(name="permissions")
class Permission(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@serializable
@dataclass(frozen=True)
class Money:
    amount: Decimal
    currency: str = "EUR"
    rounded: Decimal = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise ValueError("no debts")
        object.__setattr__(self, "rounded", round(self.amount))


@serializable
@dataclass
class Made:
    """Cannot be made again of what it keeps."""

    kept: int
    given: InitVar[int]


class Unmarked(enum.Enum):
    ONE = 1


class Status(models.TextChoices):
    """Not marked, and a str anyway."""

    DRAFT = "draft", "a draft"


@dataclass
class Plain:
    x: int
