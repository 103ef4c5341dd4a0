"""The demo project does what the README promises, on each database."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from demo_project.cities.display import Stalled
from demo_project.cities.distances import nearest, point
from demo_project.cities.models import City, Neighbour
from demo_project.cities.source import chunks
from demo_project.cities.story import Story, forget
from demo_project.cities.tasks import RANKING, publish_ranking
from django_tasktrack.models import Goal, TrackedTask
from tests.workers import worker


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_demo_shows_a_goal_a_revoked_task_and_a_retried_one() -> None:
    told = StringIO()
    with worker("-c", "2"):
        call_command("demo", stdout=told)
    states = TrackedTask.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["SUCCESS", "REVOKED", "SUCCESS"]
    assert Goal.objects.get().state == Goal.State.ACHIEVED
    assert 0 < Neighbour.objects.count() < City.objects.filter(population__gt=500_000).count()
    assert RANKING.read_text().startswith("country,")
    assert "RankingBusy" in told.getvalue()


@pytest.mark.django_db
def test_demo_without_a_worker_says_so() -> None:
    with pytest.raises(Stalled, match="No worker"):
        Story._await_worker(patience=0)


@pytest.mark.django_db(transaction=True)
def test_new_demo_ends_what_an_interrupted_one_left() -> None:
    left = publish_ranking.delay()
    forget()
    assert left.state == "REVOKED"


def test_nearest_city_is_found_around_the_globe() -> None:
    fiji, samoa, berlin = point(-18.1, 178.4, 1), point(-13.8, -171.8, 2), point(52.5, 13.4, 3)
    other, kilometres = nearest(fiji, [fiji, samoa, berlin])
    assert other == 2
    assert 1100 < kilometres < 1200


def test_chunks_leave_nothing_out() -> None:
    records = [{"geonameid": number} for number in range(7)]
    assert [len(chunk) for chunk in chunks(records, 3)] == [3, 3, 1]
