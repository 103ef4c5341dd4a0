"""A task that only workers know, whose settings include this module."""

from __future__ import annotations

from django_tasktrack import task


@task(name="elsewhere.greet")
def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"
