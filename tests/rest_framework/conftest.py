"""Who asks the API: the five roles that its rules tell apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

VIEW = ("view_trackedtask", "view_goal", "view_worker")
EVERYTHING = (
    *VIEW,
    "view_trackedtask_payload",
    "revoke_trackedtask",
    "terminate_trackedtask",
    "retry_trackedtask",
)
ROLES = ("anonymous", "user", "owner", "viewer", "operator")


def make_user(name: str, *codenames: str, is_staff: bool = False) -> User:
    user = User.objects.create_user(name, is_staff=is_staff)
    found = Permission.objects.filter(content_type__app_label="tasktrack", codename__in=codenames)
    assert len(found) == len(codenames)
    user.user_permissions.set(found)
    return user


def client_of(user: User | None) -> APIClient:
    client = APIClient()
    if user:
        client.force_login(user)
    return client


@pytest.fixture
def owner(db: None) -> User:
    return make_user("owner")


@pytest.fixture
def owner_client(owner: User) -> APIClient:
    return client_of(owner)


@pytest.fixture
def user_client(db: None) -> APIClient:
    return client_of(make_user("user"))


@pytest.fixture
def viewer_client(db: None) -> APIClient:
    return client_of(make_user("viewer", *VIEW, is_staff=True))


@pytest.fixture
def operator_client(db: None) -> APIClient:
    return client_of(make_user("operator", *EVERYTHING, is_staff=True))


@pytest.fixture
def client_for(request: pytest.FixtureRequest, db: None) -> Callable[[str], APIClient]:
    """The client of a role."""

    def client_for(role: str) -> APIClient:
        if role == "anonymous":
            return APIClient()
        client: APIClient = request.getfixturevalue(f"{role}_client")
        return client

    return client_for
