"""Who looks at the admin: the roles that its pages tell apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

VIEW = ("view_trackedtask", "view_goal", "view_worker")
PAYLOAD = "view_trackedtask_payload"
VERBS = ("revoke", "terminate", "retry")

ClientFor = Callable[..., Client]


@pytest.fixture
def client_for(db: None) -> ClientFor:
    """A client signed in as staff who holds these permissions of the app."""

    def make(*codenames: str, name: str = "ada", is_staff: bool = True) -> Client:
        user = User.objects.create_user(name, is_staff=is_staff)
        wanted = Permission.objects.filter(
            content_type__app_label="tasktrack", codename__in=codenames
        )
        assert len(wanted) == len(set(codenames))
        user.user_permissions.set(wanted)
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def viewer(client_for: ClientFor) -> Client:
    return client_for(*VIEW, name="viewer")


@pytest.fixture
def operator(client_for: ClientFor) -> Client:
    return client_for(*VIEW, PAYLOAD, *(f"{verb}_trackedtask" for verb in VERBS))
