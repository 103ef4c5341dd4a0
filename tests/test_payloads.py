"""Values in and out of JSON: the same verdict everywhere, and errors that name the place."""

from __future__ import annotations

import json
import math
import time
import uuid
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_tasktrack import transitions
from django_tasktrack.changes import Change
from django_tasktrack.exceptions import PayloadError
from django_tasktrack.models import TrackedTask
from django_tasktrack.outcomes import succeeded
from django_tasktrack.payloads import MAX_DEPTH, decode, encode, printable
from tests.factories import make_worker, new_task
from tests.inline import the_vendor

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | texts
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | numbers,
    lambda below: st.lists(below) | st.dictionaries(texts, below),
    max_leaves=20,
)

#: What JSON or one of the databases cannot carry, and the words that say so.
BAD = [
    pytest.param(math.nan, "nan", id="nan"),
    pytest.param(math.inf, "inf", id="infinity"),
    pytest.param(-math.inf, "-inf", id="negative infinity"),
    pytest.param("a\x00b", "a string with a NUL character", id="NUL"),
    pytest.param("a\ud800b", "a string with a lone surrogate", id="lone surrogate"),
    pytest.param(object(), "a value of type object", id="object"),
    pytest.param({1, 2}, "a value of type set", id="set"),
    pytest.param(b"raw", "a value of type bytes", id="bytes"),
    pytest.param(Decimal(1), "a value of type decimal.Decimal", id="Decimal"),
    pytest.param(date(2026, 1, 1), "a value of type datetime.date", id="date"),
    pytest.param(uuid.UUID(int=1), "a value of type uuid.UUID", id="UUID"),
    pytest.param(10**5000, "an int of more than 4,300 digits", id="huge int"),
    pytest.param({(1, 2): 3}, "a key of type tuple", id="tuple as key"),
]


def nested(depth: int, value: object = None) -> object:
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.case("M5")
@given(values)
def test_value_comes_back_as_it_went(value: Any) -> None:
    assert decode(encode(value, "value")) == value


@pytest.mark.case("M5")
@pytest.mark.django_db
@given(values)
def test_value_comes_back_from_the_database_as_it_went(value: Any) -> None:
    new = new_task(args=[value], kwargs={"value": value})
    transitions.enqueue([new])
    (claim,) = transitions.claim(the_vendor(), make_worker().pk, [], [new.name], 1)
    assert (decode(claim.args), decode(claim.kwargs)) == ([value], {"value": value})
    outcome = succeeded(encode(value, "result"))
    settled = Change.of_outcome(claim, outcome, began=time.monotonic(), ended=time.monotonic())
    assert transitions.settle(the_vendor(), [settled]).applied
    row = TrackedTask.objects.get(pk=new.task_id)
    assert (row.args, row.kwargs, row.result) == ([value], {"value": value}, value)


@pytest.mark.case("M5")
@given(values)
def test_what_came_back_is_written_alike(value: Any) -> None:
    text = encode(value, "value")
    assert encode(decode(text), "value") == text


@pytest.mark.case("M5")
@given(numbers)
def test_float_stays_a_float_where_a_database_rewrites_exponents(value: float) -> None:
    text = encode([value, "1e+20"], "value")
    assert "e+" not in text.replace('"1e+20"', "")
    assert [repr(item) for item in decode(text)] == [repr(value), "'1e+20'"]


def test_exponent_inside_a_string_is_left_alone() -> None:
    value = {'a "1e+20" \\': ["1e+20", 1e20]}
    assert encode(value, "value") == '{"a \\"1e+20\\" \\\\":["1e+20",100000000000000000000.0]}'


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**4000, 0.1, 5e-324, 1.7e308])
def test_numbers_keep_their_value(value: float) -> None:
    assert decode(encode(value, "value")) == value


def test_tuple_becomes_a_list_and_number_keys_become_text() -> None:
    assert decode(encode({1: (2, 3), None: True}, "value")) == {"1": [2, 3], "null": True}


def test_written_backslash_and_u0000_are_no_nul() -> None:
    assert decode(encode("\\u0000", "value")) == "\\u0000"


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_error_names_what_cannot_be_carried(bad: object, words: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode([bad], "args")
    assert str(caught.value).startswith(f"args[0]: {words} cannot be carried as JSON.")


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_error_names_the_path(bad: object, words: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode({"a": [1, {"b": bad}], "c": bad}, "kwargs")
    assert str(caught.value).startswith(f"kwargs['a'][1]['b']: {words}")


@pytest.mark.parametrize("key", ["a\x00", "\udfff", math.nan])
def test_keys_are_as_strict_as_values(key: object) -> None:
    with pytest.raises(PayloadError, match=r"^meta key: "):
        encode({key: 1}, "meta")


@pytest.mark.case("M5")
@given(values, st.sampled_from([math.nan, "\x00", "\ud800", object()]))
def test_bad_value_is_found_beside_any_other(value: Any, bad: object) -> None:
    with pytest.raises(PayloadError, match=r"^x\[1\]: "):
        encode([value, bad], "x")


@pytest.mark.parametrize("bad", [None, math.nan, "\x00", "\ud800", object()])
@pytest.mark.parametrize("depth", [31, 200, 500, 990, 2000, 10_000])
def test_deep_value_is_refused_whatever_it_holds(depth: int, bad: object) -> None:
    with pytest.raises(PayloadError, match=f"a value nested more than {MAX_DEPTH} levels deep"):
        encode(nested(depth, bad), "args")


def test_value_of_the_greatest_depth_is_carried() -> None:
    assert decode(encode(nested(MAX_DEPTH), "args")) == nested(MAX_DEPTH)


def test_broad_value_is_not_taken_for_a_deep_one() -> None:
    assert decode(encode([[]] * 10_000, "args")) == [[]] * 10_000


def test_value_that_contains_itself_is_named() -> None:
    value: dict[str, Any] = {"name": "loop"}
    value["me"] = [value]
    with pytest.raises(PayloadError, match=r"^x\['me'\]\[0\]: a value that contains itself"):
        encode(value, "x")


def test_same_value_twice_does_not_contain_itself() -> None:
    shared = [1]
    assert decode(encode([shared, shared], "x")) == [[1], [1]]


def test_long_key_does_not_swamp_the_error() -> None:
    with pytest.raises(PayloadError) as caught:
        encode({"k" * 100_000: math.nan}, "x")
    assert len(str(caught.value)) < 300


@override_settings(TASKTRACK={"MAX_PAYLOAD_BYTES": 100})
def test_size_is_limited_in_bytes() -> None:
    assert encode("a" * 98, "x") == f'"{"a" * 98}"'
    with pytest.raises(PayloadError, match=r"^x is 101 bytes of JSON; the limit is 100\."):
        encode("a" * 99, "x")
    with pytest.raises(PayloadError, match="102 bytes"):
        encode("ä" * 50, "x")


def test_ten_megabytes_are_refused_by_default() -> None:
    with pytest.raises(PayloadError, match="the limit is 1,048,576"):
        encode("x" * 10_000_000, "args")


def test_no_text_is_no_value() -> None:
    assert decode(None) is None


@pytest.mark.case("M5")
@given(st.text())
def test_printable_text_can_be_stored_anywhere(text: str) -> None:
    shown = printable(text)
    assert "\x00" not in shown
    assert json.loads(json.dumps(shown, ensure_ascii=False).encode()) == shown


@pytest.mark.case("M5")
@given(texts)
def test_printable_leaves_harmless_text_alone(text: str) -> None:
    assert printable(text) == text
