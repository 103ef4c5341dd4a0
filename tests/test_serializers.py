"""What payloads carry, by either serializer: back as it went, or refused with its place and type."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.test import override_settings
from django.utils import translation
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from django_tasktrack import goals, registry, runner, serializable, states, task, transitions
from django_tasktrack.exceptions import InvalidTask, PayloadError
from django_tasktrack.models import TrackedTask
from django_tasktrack.outcomes import succeeded
from django_tasktrack.packing import MARK
from django_tasktrack.payloads import MAX_DEPTH, decode, encode
from django_tasktrack.serializers import (
    listed,
    put_before,
    readable,
    restored,
    serialize_with,
)
from tests.factories import make_worker, new_task
from tests.inline import finish, row, the_vendor, work

from .app import kinds
from .app.models import Entry
from .app.tasks import echo
from .test_declaration import make_claim
from .test_payloads import nested, texts

tagged, plain = serialize_with("tagged"), serialize_with("json")

zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, seconds=7))])
regions = st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")])
#: What a dict or a set may hold.
hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False)
    | st.datetimes(timezones=zones) | st.dates() | st.times(timezones=zones) | st.timedeltas()
    | st.decimals(allow_nan=False) | st.uuids() | st.binary()
    | st.sampled_from([kinds.Color.RED, kinds.Permission.READ | kinds.Permission.WRITE])
    | st.builds(kinds.Money, st.decimals(0, 1000), texts),
    lambda below: st.frozensets(below) | st.lists(below).map(tuple),
    max_leaves=5,
)  # fmt: skip
#: Keys that look like the tags of this package, and others.
keys = st.sampled_from([MARK, "value", "class", "tagged"]) | hashable
values = st.recursive(
    hashable,
    lambda below: st.lists(below) | st.dictionaries(keys, below) | st.sets(hashable),
    max_leaves=10,
)


def carried(value: Any, serialize: Callable[[Any, str], str] = tagged) -> Any:
    return restored(decode(serialize(value, "value")))


# Back as it went


@pytest.mark.case("M5")
@given(values)
def test_tagged_value_comes_back_as_it_went(value: Any) -> None:
    found = carried(value)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.case("M5")
@given(values)
def test_tagged_text_is_json_that_every_database_keeps(value: Any) -> None:
    text = tagged(value, "value")
    assert encode(json.loads(text), "value") == text


@pytest.mark.case("M5", 43)
@pytest.mark.django_db
@given(values)
def test_tagged_value_comes_back_from_the_database_as_it_went(value: Any) -> None:
    new = new_task()._replace(args=tagged([value], "args"), kwargs=tagged({"value": value}, "x"))
    transitions.enqueue([new])
    (claim,) = transitions.claim(the_vendor(), make_worker().pk, [], [new.name], 1)
    assert restored(decode(claim.args)) == [value]
    assert restored(decode(claim.kwargs)) == {"value": value}
    finish(claim, succeeded(tagged(value, "result")))
    assert restored(row(new.task_id).result) == value


@pytest.mark.case("M5")
@given(st.lists(values))
def test_what_came_back_is_written_alike(value: Any) -> None:
    text = tagged(value, "value")
    assert tagged(restored(decode(text)), "value") == text


@pytest.mark.case("M5")
@given(st.recursive(texts | st.integers(), lambda b: st.dictionaries(texts | st.just(MARK), b)))
@pytest.mark.parametrize("serialize", [plain, tagged], ids=["json", "tagged"])
def test_user_data_that_looks_like_a_tag_comes_back_as_it_went(
    serialize: Callable[[Any, str], str], value: Any
) -> None:
    assert carried(value, serialize) == value
    for looks in ({MARK: "tagged", "value": value}, {MARK: "uuid", "value": value}):
        assert carried(looks, serialize) == looks
        assert carried([looks], serialize) == [looks]


@given(st.datetimes(timezones=regions) | st.datetimes(timezones=zones))
def test_moment_keeps_its_instant_its_clock_and_its_zone(value: datetime) -> None:
    found = carried(value)
    assert found == value or value != value.astimezone(UTC)  # a time that the clocks left out
    if value.tzinfo is not None and value == value.astimezone(UTC).astimezone(value.tzinfo):
        assert found.utcoffset() == value.utcoffset()
        assert found.tzinfo == value.tzinfo


def test_both_times_of_an_hour_that_comes_twice_are_kept_apart() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for fold in (0, 1):
        value = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold)
        assert (carried(value).fold, carried(value).utcoffset()) == (fold, value.utcoffset())


def test_time_of_a_region_keeps_it() -> None:
    assert carried(time(8, tzinfo=ZoneInfo("Asia/Taipei"))).tzinfo == ZoneInfo("Asia/Taipei")


@pytest.mark.parametrize("value", [math.inf, -math.inf, Decimal("Infinity"), -0.0, Decimal("1.50")])
def test_numbers_that_json_has_no_form_for(value: Any) -> None:
    assert repr(carried(value)) == repr(value)


@pytest.mark.parametrize("value", [math.nan, Decimal("NaN"), Decimal("sNaN")])
def test_no_number_is_one_too(value: Any) -> None:
    assert repr(carried([value])) == repr([value])


def test_types_that_are_kept_as_a_wider_one() -> None:
    assert carried(bytearray(b"a")) == carried(memoryview(b"a")) == b"a"
    assert type(carried(mark_safe("a"))) is str
    assert carried(kinds.Status.DRAFT) == "draft"


def test_lazy_string_is_what_it_says_now() -> None:
    with translation.override("de"):
        text = tagged(gettext_lazy("Monday"), "value")
    assert text == '"Montag"'


def test_member_goes_by_its_name_and_flags_by_their_value() -> None:
    assert carried(kinds.Color.VERT) is kinds.Color.GREEN
    assert '"RED"' in tagged(kinds.Color.RED, "value")
    assert '"class":"permissions"' in tagged(kinds.Permission.READ, "value")


def test_dataclass_is_made_by_its_own_init() -> None:
    money = carried(kinds.Money(Decimal("2.6")))
    assert (money.amount, money.rounded) == (Decimal("2.6"), 3)
    stored = tagged(kinds.Money(Decimal(1)), "value").replace('"value":"1"', '"value":"-1"')
    with pytest.raises(PayloadError, match="no debts"):
        restored(decode(stored))


def test_what_needs_no_tag_is_plain_json() -> None:
    assert tagged([1, {"a": ["b"]}], "value") == '[1,{"a":["b"]}]'


# Refused


@pytest.mark.case(42, 43)
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        pytest.param(object(), "a value of type object", id="object"),
        pytest.param(kinds.Unmarked.ONE, "tests.app.kinds.Unmarked", id="unmarked enum"),
        pytest.param(kinds.Plain(1), "tests.app.kinds.Plain", id="unmarked dataclass"),
        pytest.param(kinds.Money, "a value of type type", id="class"),
        pytest.param(kinds.Made(1, 2), "Made, which is made with given", id="init var"),
        pytest.param(len, "a value of type builtin_function_or_method", id="function"),
        pytest.param(1j, "a value of type complex", id="complex"),
        pytest.param("a\x00b", "a string with a NUL character", id="NUL"),
        pytest.param("a\ud800b", "a string with a lone surrogate", id="lone surrogate"),
        pytest.param(10**5000, "an int of more than 4,300 digits", id="huge int"),
        pytest.param(User(username="x"), "an unsaved auth.User", id="unsaved"),
    ],
)
def test_error_names_the_place_and_what_stands_there(bad: object, words: str) -> None:
    with pytest.raises(PayloadError) as caught:
        tagged([1, {"a": (bad,)}], "args")
    assert str(caught.value).startswith(f"args[1]['a'][0]: {words}")
    assert caught.value.hint


@pytest.mark.parametrize("key", ["a\x00", "\ud800", ("\x00",), object()])
def test_keys_are_as_strict_as_values(key: Any) -> None:
    with pytest.raises(PayloadError, match=r"^x key"):
        tagged({key: 1}, "x")


class Vague(tzinfo):
    """Says nothing of a time without its day."""

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        return None if at is None else timedelta(hours=1)

    def dst(self, at: datetime | None) -> None:
        return None

    def tzname(self, at: datetime | None) -> str:
        return "vague"


def test_time_whose_zone_would_be_lost_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"^x: a time in"):
        tagged(time(1, tzinfo=Vague()), "x")


@pytest.mark.case(44)
@pytest.mark.parametrize("depth", [MAX_DEPTH, 200, 10_000])
def test_deep_value_is_refused(depth: int) -> None:
    with pytest.raises(PayloadError, match=f"more than {MAX_DEPTH} levels deep"):
        tagged(nested(depth), "x")


@pytest.mark.case(44)
@pytest.mark.parametrize("depth", range(20, MAX_DEPTH + 2))
@pytest.mark.parametrize("last", [Decimal(1), (), {1: 2}, frozenset({1}), kinds.Money(Decimal(1))])
def test_depth_is_that_of_what_is_stored(last: Any, depth: int) -> None:
    """Either it is refused, or the text stays within the depth that every database has."""
    with contextlib.suppress(PayloadError):
        text = tagged(nested(depth, last), "x")
        assert depth < MAX_DEPTH
        assert encode(json.loads(text), "stored") == text
        return
    assert depth > MAX_DEPTH - 6


#: MariaDB refuses JSON of more.
STORED_EVERYWHERE = 31


def levels(value: Any) -> int:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return 0
    return 1 + max(map(levels, value), default=0)


def marked(depth: int) -> Any:
    """Dicts with the reserved key, which tags make much deeper."""
    value: Any = 1
    for _ in range(depth):
        value = {MARK: value}
    return value


def allowed(serialize: Callable[[Any, str], str], value: Any) -> str | None:
    with contextlib.suppress(PayloadError):
        return serialize(value, "x")
    return None


@pytest.mark.case(44)
@pytest.mark.parametrize("depth", [1, 5, 6, 7, 8, 9, *range(25, 31)])
@pytest.mark.parametrize("own", [[], [Decimal(1)], [nested(26)], [marked(5)]])
@pytest.mark.parametrize("made", [nested, marked, lambda depth: nested(depth, Decimal(1))])
def test_what_may_be_returned_can_be_handed_on(
    made: Callable[[int], Any], own: list[Any], depth: int
) -> None:
    """To the body of a chord, beside any other value, and before any arguments."""
    arguments = allowed(plain, own) or allowed(tagged, own)
    assert arguments
    values = [allowed(plain, made(depth)), allowed(tagged, made(depth)), tagged(Decimal(1), "x")]
    collected = listed([value for value in values if value])
    handed = put_before([collected], arguments)
    assert levels(json.loads(handed)) <= STORED_EVERYWHERE
    kept = [restored(json.loads(value)) for value in values if value]
    assert restored(json.loads(handed)) == [kept, *own]


def test_arguments_that_look_like_payloads_are_handed_on_as_they_are() -> None:
    own = [{MARK: "json", "value": 1}, {MARK: "tagged", "value": [1]}]
    for value in (1, Decimal(1), {MARK: 1}):
        handed = put_before([tagged(value, "x")], plain(own, "args"))
        assert restored(json.loads(handed)) == [value, *own]


def test_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append((loop,))
    with pytest.raises(PayloadError, match="levels deep"):
        tagged(loop, "x")


@pytest.mark.case(44)
@override_settings(TASKTRACK={"MAX_PAYLOAD_BYTES": 100})
def test_size_is_limited_as_for_plain_json() -> None:
    with pytest.raises(PayloadError, match="the limit is 100"):
        tagged(b"x" * 100, "x")


# What is stored may be somebody else's


def stored(**tag: Any) -> Any:
    return {MARK: "tagged", "value": [tag]}


@pytest.mark.parametrize(
    "tag",
    [
        {MARK: "enum", "class": "tests.app.kinds.Unmarked", "value": "ONE"},
        {MARK: "enum", "class": "antigravity.X", "value": "ONE"},
        {MARK: "enum", "class": ["os"], "value": "ONE"},
        {MARK: "enum", "class": "tests.app.kinds.Money", "value": "ONE"},
        {MARK: "dataclass", "class": "tests.app.kinds.Color", "value": {}},
        {MARK: "dataclass", "class": "subprocess.Popen", "value": {"args": "touch /tmp/owned"}},
        {MARK: "dataclass", "class": "tests.app.kinds.Money", "value": {"__class__": 1}},
        {MARK: "dataclass", "class": "tests.app.kinds.Money", "value": []},
        {MARK: "model", "model": "os.system", "value": 1},
        {MARK: "model", "model": "auth.user", "value": "x", "using": "nowhere"},
        {MARK: "model", "model": "auth.user", "value": {}},
        {MARK: "pickle", "value": "gASVAAAA"},
        {MARK: ["datetime"], "value": "x"},
        {MARK: "datetime", "value": "yesterday"},
        {MARK: "datetime", "value": "2026-01-01T00:00:00+00:00", "zone": "../../etc/passwd"},
        {MARK: "time", "value": "00:00", "zone": "Nowhere/Else"},
        {MARK: "timedelta", "value": "a while"},
        {MARK: "decimal", "value": "one"},
        {MARK: "bytes", "value": "?"},
        {MARK: "set", "value": [[]]},
        {MARK: "dict", "value": [[1]]},
        {MARK: "float"},
    ],
    ids=repr,
)
@pytest.mark.django_db
def test_what_is_not_ours_is_refused_and_nothing_is_imported(tag: dict[str, Any]) -> None:
    before = set(sys.modules)
    with pytest.raises(PayloadError):
        restored(stored(**tag))
    assert not {"antigravity", "subprocess32"} & (set(sys.modules) - before)
    readable(stored(**tag))  # and can be looked at


@pytest.mark.parametrize(
    "value",
    [
        {MARK: 1},
        {MARK: "tagged"},
        {MARK: "tagged", "value": 1, "more": 2},
        {"value": 1},
        [{MARK: 1}],
    ],
    ids=repr,
)
def test_row_of_before_is_read_as_before(value: Any) -> None:
    assert restored(value) == value
    assert readable(value) == value


@override_settings(TASKTRACK={"ACCEPT_CONTENT": ["json"]})
def test_what_the_settings_do_not_accept_is_not_decoded() -> None:
    with pytest.raises(PayloadError, match="'tagged', which is not accepted here"):
        carried(Decimal(1))
    looks = {MARK: "tagged", "value": 1}
    assert carried(looks, plain) == looks


# Classes


@override_settings(TASKTRACK={"SERIALIZABLE_MODULES": ["tests.app.kinds"]})
def test_module_may_be_listed_instead_of_its_classes() -> None:
    assert carried([kinds.Unmarked.ONE, kinds.Plain(2)]) == [kinds.Unmarked.ONE, kinds.Plain(2)]


@pytest.mark.parametrize(
    "name",
    ["tests.app.kinds.Decimal", "tests.app.kinds.models.TextChoices", "tests.app.kinds",
     "tests.app.kinds.enum.Enum", "tests.app.kindsx.Plain", "tests.app.kinds.Plain.__init__",
     "tests.app.kinds.Plain.__class__"],
)  # fmt: skip
@override_settings(TASKTRACK={"SERIALIZABLE_MODULES": ["tests.app.kinds"]})
def test_listed_module_lends_out_its_own_classes_alone(name: str) -> None:
    for kind in ("enum", "dataclass"):
        with pytest.raises(PayloadError, match="not allowed here"):
            restored(stored(**{MARK: kind, "class": name, "value": {}}))


def test_local_class_is_refused_where_it_would_not_be_found_again() -> None:
    local = type("Plain", (kinds.Plain,), {"__module__": "tests.app.kinds"})
    with (
        override_settings(TASKTRACK={"SERIALIZABLE_MODULES": ["tests.app.kinds"]}),
        pytest.raises(PayloadError, match="@serializable"),
    ):
        tagged(local(1), "x")


def test_mark_is_for_enums_and_dataclasses_of_different_names() -> None:
    with pytest.raises(InvalidTask, match="Enums and dataclasses"):
        serializable(Entry)
    with pytest.raises(InvalidTask, match="Two classes are serializable as 'permissions'"):
        serializable(name="permissions")(kinds.Unmarked)


# Model instances


@pytest.mark.django_db
def test_instance_is_read_again_by_its_key() -> None:
    entry = Entry.objects.create(text="before")
    text = tagged(entry, "x")
    assert "before" not in text
    Entry.objects.update(text="after")
    found = restored(decode(text))
    assert (found, found.text, found._state.db) == (entry, "after", "default")


@pytest.mark.django_db
def test_lazy_user_of_a_request_is_an_instance() -> None:
    user = User.objects.create_user("ann")
    assert type(carried(SimpleLazyObject(lambda: user))) is User


@pytest.mark.django_db
def test_instance_that_is_gone_is_told_with_its_key() -> None:
    entry = Entry.objects.create(text="x")
    text, pk = tagged(entry, "x"), entry.pk
    entry.delete()
    with pytest.raises(PayloadError, match=rf"testapp\.Entry {pk} is gone from database 'default'"):
        restored(decode(text))


# From the call to the reader


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


@pytest.mark.django_db
@pytest.mark.usefixtures("_own_registry")
def test_task_gets_what_the_caller_gave_and_the_caller_what_it_returned() -> None:
    seen: list[Any] = []

    @task(serializer="tagged", bind=True)
    def ships(self: Any, day: date, *, price: Decimal) -> Any:
        seen.append((day, price, self.request.args, self.request.kwargs))
        return {day: (price, kinds.Color.RED)}

    day, price = date(2026, 5, 1), Decimal("9.90")
    result = ships.delay(day, price=price)
    assert (result.args, result.kwargs) == ([day], {"price": price})
    work()
    assert seen == [(day, price, (day,), {"price": price})]
    assert result.get(timeout=0) == {day: (price, kinds.Color.RED)}
    stored_row = row(result.id)
    assert readable(stored_row.args) == ["2026-05-01"]
    assert readable(stored_row.kwargs) == {"price": "9.90"}
    assert readable(stored_row.result) == {"2026-05-01": ["9.90", "Color.RED"]}


@pytest.mark.django_db
def test_settings_choose_for_tasks_that_do_not() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with override_settings(TASKTRACK={"SERIALIZER": "tagged"}):
        result = echo.delay(moment)
        work()
        assert result.get(timeout=0) == moment
    with override_settings(TASKTRACK={"task_serializer": "tagged", "result_serializer": "json"}):
        result = echo.delay(moment)
    work()  # the row says what it is, whatever is set now
    assert result.result.error_type == "django_tasktrack.exceptions.PayloadError"
    assert result.args == [moment]


@pytest.mark.django_db
def test_goal_keeps_arguments_for_all_its_tasks() -> None:
    with override_settings(TASKTRACK={"SERIALIZER": "tagged"}):
        goal = goals.pursue("paid", key=1, task=echo, args=[Decimal(5)], kwargs={})
        work()
    status = goal.status()
    assert status.task is not None
    assert (status.task.args, status.task.result) == ([Decimal(5)], Decimal(5))


def run(claim: dict[str, Any]) -> Any:
    return runner.run(make_claim(name=echo.name, **claim), "w", lambda _: None, lambda: False)


@pytest.mark.django_db
def test_missing_instance_is_the_task_s_failure() -> None:
    text = json.dumps(stored(**{MARK: "model", "model": "testapp.entry", "value": 5}))
    outcome = run({"args": text})
    assert (outcome.transition, outcome.reason) == (states.FAIL, "could not be started")
    assert "testapp.Entry 5 is gone" in outcome.error.message


@pytest.mark.usefixtures("_own_registry")
def test_database_that_cannot_be_asked_is_a_matter_of_the_retry_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: object) -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(runner, "restored", broken)
    assert run({}).transition is states.FAIL
    registry._definitions.pop(echo.name)
    task(name=echo.name, autoretry_for=(OperationalError,))(lambda value: value)
    assert run({}).transition is states.RETRY


@pytest.mark.django_db(transaction=True)
def test_asynchronous_body_gets_instances_too() -> None:
    entry = Entry.objects.create(text="x")

    async def body(value: Entry) -> str:
        return value.text

    claim = make_claim(name="reads", args=tagged([entry], "args"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_definitions", {})
        task(name="reads")(body)
        outcome = asyncio.run(
            runner.run_async(claim, "w", lambda _: None, lambda: False, in_thread=_in_thread)
        )
    assert (outcome.error, outcome.result) == (None, '"x"')


async def _in_thread(body: Callable[[], Any]) -> Any:
    """In a thread that leaves no connection behind."""

    def call() -> Any:
        try:
            return body()
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


@pytest.mark.django_db
def test_column_stays_ordinary_json() -> None:
    with override_settings(TASKTRACK={"SERIALIZER": "tagged"}):
        result = echo.delay([uuid.UUID(int=1)])
    found = TrackedTask.objects.filter(args__value__0__0__value=str(uuid.UUID(int=1)))
    assert [str(task.pk) for task in found] == [result.id]


@given(values)
def test_readable_is_plain_json_for_everything(value: Any) -> None:
    shown = readable(decode(tagged(value, "value")))
    assert json.loads(json.dumps(shown)) == shown or "NaN" in json.dumps(shown)


# Lists of payloads, in their texts

_PARTS: list[tuple[str, Any]] = [
    ("json", 1), ("json", [1, 2.5]), ("json", {MARK: 1}), ("json", {"a": None}),
    ("tagged", UUID(int=5)), ("tagged", {"at": date(2026, 5, 1)}), ("tagged", {MARK: "x", "value": 2}),
    ("tagged", "plain"),
]  # fmt: skip


def _text(part: tuple[str, Any]) -> str:
    return serialize_with(part[0])(part[1], "value")


def _back(text: str) -> Any:
    return restored(json.loads(text))


@pytest.mark.parametrize("count", range(4))
def test_payloads_of_all_kinds_are_listed(count: int) -> None:
    for parts in itertools.product(_PARTS, repeat=count):
        text = listed([_text(part) for part in parts])
        assert _back(text) == [value for _, value in parts]


@pytest.mark.parametrize("own", [("json", [3, {MARK: 1}]), ("json", []), ("tagged", [UUID(int=7)])])
def test_payloads_of_all_kinds_are_put_before_arguments(own: tuple[str, list[Any]]) -> None:
    for parts in itertools.product(_PARTS, repeat=2):
        text = put_before([_text(part) for part in parts], _text(own))
        assert _back(text) == [*(value for _, value in parts), *own[1]]


def test_large_floats_stay_floats_in_lists() -> None:
    text = listed([_text(("json", 1e22)), _text(("tagged", UUID(int=1)))])
    assert "e+" not in text
