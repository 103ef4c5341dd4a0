"""Rows A, B and C by the application object, as a user of Celery types them. Each test is named by its row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.checks import run_checks

from django_tasktrack import conf
from django_tasktrack.compat.celery import AsyncResult, Celery, current_app, group, states, uuid
from django_tasktrack.compat.celery.exceptions import NotRegistered, TaskRevokedError, Unsupported
from django_tasktrack.compat.celery.result import GroupResult
from django_tasktrack.models import TrackedTask
from django_tasktrack.purge import purge
from django_tasktrack.verification import is_recent_task, is_task_id_valid, verify_task_status
from tests.app.application import LongTask, add, app, counted, debug_task, which
from tests.workers import WorkerProcess, wait_until, worker

INCLUDE = {"include": ["tests.app.application", "tests.app.elsewhere"]}


@pytest.fixture
def running() -> Iterator[WorkerProcess]:
    with worker("-n", "w1@%h", "-P", "threads", "-c", "4", tasktrack=INCLUDE) as one:
        yield one


@pytest.fixture(autouse=True)
def _the_application() -> Iterator[None]:
    """The one of the snippets is the current one, and forgets what a test has told it."""
    app.set_current()
    yield
    app.conf.clear()


fast = pytest.mark.usefixtures("running")


@fast
def test_a4_the_handle_of_an_application_s_task() -> None:
    r = add.delay(4, 4)
    assert r.get(timeout=10) == 8
    again = AsyncResult(r.id, app=app)
    assert (again.state, again.result, again) == (states.SUCCESS, 8, r)
    assert app.AsyncResult(r.id).status in states.READY_STATES
    assert isinstance(r, AsyncResult)


@fast
def test_a3_ignore_result() -> None:
    r = debug_task.delay()
    assert r.get(timeout=10) is None
    assert r.state == "SUCCESS"


@fast
def test_a8_a_class_of_the_application() -> None:
    result = LongTask.delay(0.5)
    wait_until(lambda: result.state == "PROGRESS")
    assert result.info == {"progress": 42.0}
    assert result.get(timeout=10) == "done"
    assert app.tasks[LongTask().name] is LongTask()


def test_a9_control_revoke() -> None:
    waiting, other = (add.apply_async((1, 1), countdown=60) for _ in range(2))
    answers = app.control.revoke([waiting.id, other.id, "nonsense"])
    assert answers == {waiting.id: "revoked", other.id: "revoked", "nonsense": "unknown"}
    with pytest.raises(TaskRevokedError):
        waiting.get(timeout=10)
    with worker("-P", "prefork", "-c", "2", tasktrack=INCLUDE):
        stuck = LongTask.delay(60)
        wait_until(lambda: stuck.state == "PROGRESS")
        answer = app.control.revoke(stuck.id, terminate=True, signal="KILL")
        assert answer == {stuck.id: "terminating"}
        wait_until(lambda: stuck.state == "REVOKED")


def test_a13_result_expires() -> None:
    app.conf.update(result_expires=60, result_failure_expires=timedelta(days=2))
    assert (conf.config().RESULT_EXPIRES, conf.config().FAILURE_RETENTION) == (60, 172_800)


@fast
def test_b1_tasks_of_the_application() -> None:
    assert add.name == "tests.app.application.add"
    assert app.tasks["tests.app.application.add"] is add
    assert counted.name in app.tasks
    assert counted() == 1
    with pytest.raises(NotRegistered, match=r"Did you mean 'tests\.app\.application\.add'\?"):
        app.tasks["tests.app.application.ad"]
    assert which.delay().get(timeout=10) == ["tasks", which.name, which.name]


@fast
def test_b3_send_task() -> None:
    assert app.send_task(add.name, (2, 3)).get(timeout=10) == 5
    result = app.send_task("elsewhere.greet", ["Ann"], {"greeting": "Hi"}, headers={"trace": 1})
    assert "elsewhere.greet" not in app.tasks, "this process does not know it"
    assert result.get(timeout=10) == "Hi, Ann"
    chosen = str(uuid4())
    assert current_app.send_task(add.name, (1, 1), task_id=chosen, retry=False).id == chosen


@fast
def test_b3_the_forms_on_commit_return_a_result() -> None:
    assert add.delay_on_commit(1, 2).get(timeout=10) == 3
    assert add.apply_async_on_commit((1, 3), countdown=0.1).get(timeout=10) == 4


@fast
def test_b7_configuration() -> None:
    app.config_from_object({"task_default_queue": "mail", "task_track_started": True})
    assert app.conf.task_default_queue == "mail"
    app.conf.update(task_routes={"tests.app.application.*": {"queue": "low"}})
    result = add.delay(1, 1)
    assert (result.queue, result.get(timeout=10)) == ("low", 2)
    app.conf.task_routes = {}
    assert add.delay(1, 1).queue == "mail"


def test_b12_what_has_no_form_here_says_what_to_do() -> None:
    with pytest.raises(Unsupported, match=r"app\.control\.autoscale\(\).*manage\.py worker"):
        app.control.autoscale(8, 2)
    with pytest.raises(Unsupported, match=r"manage\.py worker"):
        app.worker_main(["worker"])


def test_b12_inspect_and_control(running: WorkerProcess) -> None:
    busy = LongTask.delay(2)
    later = add.apply_async((1, 1), countdown=60)
    name = running.row and running.row.name
    assert name
    inspect = app.control.inspect()
    wait_until(lambda: (inspect.active() or {}).get(name))
    (active,) = inspect.active()[name]
    assert (active["id"], active["name"], active["args"]) == (busy.id, LongTask().name, [2])
    assert inspect.query_task(busy.id)[name][busy.id][0] == "active"
    assert inspect.reserved() == {name: []}
    (scheduled,) = inspect.scheduled()["table"]
    assert (scheduled["request"]["id"], scheduled["priority"]) == (later.id, 0)
    assert "elsewhere.greet" in inspect.registered()[name]
    assert inspect.stats()[name]["pool"] == {"implementation": "threads", "max-concurrency": 4}
    assert [queue["name"] for queue in inspect.active_queues()[name]] == ["default"]
    assert app.control.ping() == [{name: {"ok": "pong"}}]
    assert app.control.inspect(["other@host"]).ping() is None
    assert app.control.purge() == 1
    assert app.control.inspect().revoked()["table"] == [later.id]
    assert busy.get(timeout=10) == "done"
    assert app.control.shutdown(destination=[name]) == [name]
    assert running.wait(20) == 0
    assert app.control.inspect().active() is None


@fast
def test_b15_results_of_groups() -> None:
    result = group(app.signature(add.name, args=(n, n)) for n in range(3))()
    assert isinstance(result, GroupResult)
    assert app.GroupResult.restore(result.id).get(timeout=10) == [0, 2, 4]


@fast
def test_b17_broker_and_backend() -> None:
    with pytest.warns(UserWarning, match="broker_url and result_backend") as warned:
        other = Celery("tasks", broker="amqp://guest@localhost//", backend="redis://localhost")
    assert [record.filename for record in warned] == [__file__], "one, where the user stands"
    with other:
        (found,) = [one for one in run_checks() if one.id == "tasktrack.W005"]
        assert "conf['broker_url'], Celery('tasks').conf['result_backend']" in found.msg
        assert add.delay(1, 1).get(timeout=10) == 2


@fast
def test_c4_what_an_id_says() -> None:
    result = add.delay(1, 1)
    result.get(timeout=10)
    assert verify_task_status(result.id) == "SUCCESS"
    assert is_task_id_valid(result.id)
    assert is_recent_task(result.id)
    time.sleep(0.01)
    assert not is_recent_task(result.id, within=0.001)
    purge(older_than=0)
    assert verify_task_status(result.id) == "EXPIRED_OR_UNKNOWN"
    assert is_task_id_valid(result.id), "it was ours"
    assert is_recent_task(result.id, within=timedelta(minutes=1)), "its age stands in the id"
    for foreign in (str(uuid4()), "42", ""):
        assert verify_task_status(foreign) == "EXPIRED_OR_UNKNOWN"
        assert not is_task_id_valid(foreign)
        assert not is_recent_task(foreign)
    chosen = add.apply_async((1, 1), task_id=uuid4(), countdown=60)
    assert (is_task_id_valid(chosen.id), is_recent_task(chosen.id)) == (True, True)
    assert is_task_id_valid(uuid())
    assert TrackedTask.objects.filter(pk=chosen.id).exists()
