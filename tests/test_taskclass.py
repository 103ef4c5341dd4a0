"""Classes of tasks: declared by their definition, one instance each, with options as attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_tasktrack import AsyncResult, Task, register_task, registry, runner, task
from django_tasktrack.declaration import definition_of
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.payloads import decode
from tests.test_declaration import make_claim


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


def outcome_of(declared: Any, args: str = "[]") -> Any:
    claim = make_claim(name=declared.name, args=args)
    outcome = runner.run(claim, "w1@host", lambda _: None, lambda: False)
    assert outcome.error is None, outcome.error
    return decode(outcome.result)


def test_a_class_with_run_is_a_task() -> None:
    class LongTask(Task[..., Any]):
        name = "long"
        queue = "slow"
        priority = 7
        max_retries = 5
        autoretry_for = (OSError,)
        default_retry_delay = 9
        time_limit = 60
        acks_late = False

        def run(self, to: int) -> list[Any]:
            return [self.name, self.request.retries, to]

    definition = registry.get("long")
    assert definition.origin.endswith("LongTask")
    assert (definition.queue, definition.priority) == ("slow", 7)
    assert (definition.retry.max_retries, definition.retry.delay) == (5, 9)
    assert definition.retry.only_for == (OSError,)
    assert (definition.time_limit, definition.rerun_if_lost) == (60, False)
    assert outcome_of(LongTask, "[3]") == ["long", 0, 3]


def test_without_a_name_it_is_called_as_its_class() -> None:
    class Unnamed(Task[..., Any]):
        def run(self) -> None: ...

    assert Unnamed().name == f"{__name__}.{Unnamed.__qualname__}"


def test_there_is_one_instance_made_once() -> None:
    made: list[object] = []

    class Once(Task[..., Any]):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            self.cache: dict[str, int] = {}

        def run(self) -> int:
            self.cache["runs"] = self.cache.get("runs", 0) + 1
            return self.cache["runs"]

    assert len(made) == 1
    assert Once() is Once() is made[0] is register_task(Once) is register_task(Once())
    assert [outcome_of(Once()) for _ in range(2)] == [1, 2]
    assert len(made) == 1


@pytest.mark.django_db
def test_it_is_enqueued_by_class_and_by_instance() -> None:
    class Both(Task[..., Any]):
        def run(self, x: int) -> int:
            return x

    results: list[AsyncResult] = [
        Both.delay(1), Both().delay(2), Both.apply_async((3,)), Both().apply_async(kwargs={"x": 4}),
    ]  # fmt: skip
    assert [result.args for result in results] == [[1], [2], [3], []]
    assert {result.name for result in results} == {Both().name}
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        Both.delay()


def test_calling_the_instance_runs_it_here() -> None:
    class Doubles(Task[..., int]):
        def run(self, x: int) -> int:
            return 2 * x

    assert Doubles()(4) == 8


def test_an_abstract_base_is_no_task() -> None:
    known = registry.names()

    class Base(Task[..., Any]):
        abstract = True

        def run(self) -> str:
            return self.name

    class Without(Task[..., Any]):
        queue = "slow"

    assert registry.names() == known
    for base in (Base, Without, Task):
        for use in (base, lambda base=base: definition_of(base)):
            with pytest.raises(InvalidTask, match="is a base of tasks, and none itself"):
                use()

    class Derived(Base):
        name = "derived"

    assert outcome_of(Derived) == "derived"


def test_options_are_inherited_and_names_are_not() -> None:
    class First(Task[..., Any]):
        name = "first"
        queue = "slow"

        def run(self) -> None: ...

    class Second(First):
        priority = 3

    assert Second().name != "first"
    second = registry.get(Second().name)
    assert (second.queue, second.priority) == ("slow", 3)
    assert registry.get("first").priority is None


@pytest.mark.parametrize(
    "options",
    [{"queue": ""}, {"priority": 101}, {"max_retries": -1}, {"name": ""}, {"throws": 5}],
    ids=repr,
)
def test_attribute_that_cannot_be_is_refused_where_the_class_is(options: dict[str, Any]) -> None:
    known = registry.names()
    with pytest.raises(InvalidTask, match=next(iter(options))):
        type("Refused", (Task,), {**options, "run": lambda _: None})
    assert registry.names() == known


def test_a_generator_is_no_body() -> None:
    with pytest.raises(InvalidTask, match="It is a generator"):

        class Counts(Task[..., Any]):
            def run(self) -> Iterator[int]:
                yield 1


def test_async_def_is_a_body() -> None:
    class Waits(Task[..., Any]):
        async def run(self) -> str:
            return "waited"

    assert registry.get(Waits().name).is_async
    assert outcome_of(Waits()) == "waited"


def test_unique_key_is_a_method() -> None:
    class Sync(Task[..., Any]):
        def unique_key(self, customer: int) -> str:
            return f"{self.name}:{customer}"

        def run(self, customer: int) -> None: ...

    key = registry.get(Sync().name).unique_key
    assert key is not None
    assert key(5) == f"{Sync().name}:5"


def test_a_call_of_its_own_goes_around_the_body() -> None:
    class Around(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return ["around", super().__call__(*args, **kwargs)]

        def run(self, x: int) -> int:
            return x

    assert outcome_of(Around(), "[1]") == ["around", 1]
    with pytest.raises(TypeError, match="missing"):
        registry.get(Around().name).check_call([], {})


# @task(base=...)


class Counting(Task[..., Any]):
    """Has what its tasks share."""

    abstract = True
    queue = "counted"
    max_retries = 1

    def __init__(self) -> None:
        self.count = 0

    def counted(self) -> int:
        self.count += 1
        return self.count


def test_a_function_gets_the_class_that_it_names() -> None:
    @task(base=Counting, bind=True, max_retries=2)
    def counted(self: Counting) -> int:
        return self.counted()

    @task(base=Counting)
    def other() -> None: ...

    assert isinstance(counted, Counting)
    assert isinstance(other, Counting)
    assert [outcome_of(counted) for _ in range(2)] == [1, 2]
    assert other.count == 0, "each has its own instance"
    definition = registry.get(counted.name)
    assert (definition.queue, definition.retry.max_retries) == ("counted", 2)
    assert registry.get(other.name).retry.max_retries == 1
    assert counted.name.endswith(".counted")


@pytest.mark.parametrize("base", [int, 5, "Counting"])
def test_base_is_a_class_of_tasks(base: Any) -> None:
    with pytest.raises(InvalidTask, match="is no class of tasks"):
        task(base=base)


def test_a_hook_that_nobody_would_await_is_refused() -> None:
    with pytest.raises(InvalidTask, match=r"on_success\(\) of .*Later is an async def"):

        class Later(Task[..., Any]):
            async def on_success(self, *given: Any) -> None: ...  # type: ignore[override]

            def run(self) -> None: ...


def test_code_that_was_written_for_celery_finds_its_attributes() -> None:
    @task(max_retries=7, default_retry_delay=3, queue="mail", priority=2, soft_time_limit=5)
    def known() -> None: ...

    found: Any = known
    assert (found.max_retries, found.default_retry_delay, found.queue) == (7, 3, "mail")
    assert (found.priority, found.soft_time_limit, found.time_limit) == (2, 5, None)
    assert (found.acks_late, found.throws, found.__name__) == (None, (), "known")
    assert found.run() is None
