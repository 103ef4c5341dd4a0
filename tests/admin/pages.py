"""Addresses of the admin's pages, and what is true of every one of them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from django_tasktrack.models import TrackedTask

TASKS = "/admin/tasktrack/trackedtask/"
WORKERS = "/admin/tasktrack/worker/"
GOALS = "/admin/tasktrack/goal/"


class _Policy(HTMLParser):
    """Collects what a policy of ``default-src 'self'`` would refuse, as a browser would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.breaches: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.breaches.append(tag)
        self.breaches += [f"{tag} {name}" for name in given if name.startswith("on")]
        self.breaches += [f"{tag} {name}" for name in given if name == "style"]
        outside = ("http:", "https:", "//", "javascript:", "data:")
        sources = (given.get(name) or "" for name in ("src", "href"))
        self.breaches += [source for source in sources if source.startswith(outside)]


def page(row: Any) -> str:
    return reverse(f"admin:tasktrack_{row._meta.model_name}_change", args=[row.pk])


def confirmation(verb: str, *tasks: TrackedTask) -> str:
    return f"{TASKS}{verb}/?ids={','.join(str(task.pk) for task in tasks)}"


def confirm(client: Client, verb: str, *tasks: TrackedTask, **data: str) -> HttpResponse:
    """Press the button of the confirmation."""
    ids = ",".join(str(task.pk) for task in tasks)
    return client.post(f"{TASKS}{verb}/", {"ids": ids, **data})  # type: ignore[return-value]


def text(response: Any) -> str:
    html: str = response.content.decode()
    return html


def breaches(html: str) -> list[str]:
    """What a strict policy would refuse in a page."""
    policy = _Policy()
    policy.feed(html)
    return policy.breaches
