"""The quick way of converting values gives what the careful one gives: the same values, and the same sentences."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.events import UserSignup
from streams.errors import InvalidEvent
from streams.eventfiles import convert
from streams.eventfiles.convert import Converter
from streams.eventfiles.quick_values import UNSURE, quick_value
from streams.schemas.avro import parse
from tests.unit.codec_classes import ThingSet
from tests.unit.test_sources import TEXTS, THING

NUMBERS = st.lists(st.sampled_from([*"+-.eE_ 019", "2147483648", "999999999999999999", "\u0661"]), max_size=5).map("".join)
WORDS = st.sampled_from(["true", "True", "FALSE", "red", "blue", "AAE=", "AAE", "", "null", "[]", "\n"])
DATES = st.sampled_from(["2011-01-11", "2011-02-30", "2011-W02-2", "0001-01-01", "9999-12-31", "\u0662011-01-11"])
CLOCKS = st.sampled_from(["T19:50:40", "T23:59:59", "T24:00:00", "T19:50:60", "t19:50:40", " 19:50:40", "T19:50", "T195040"])
FRACTIONS = st.sampled_from(["", ".6", ".620", ".620001", ".6200010", ".6200011", ",620", "."])
ZONES = st.sampled_from(["Z", "z", "", "+00:00", "+01:00", "-23:59", "+01:75", "+0100"])
MOMENTS = st.tuples(DATES, CLOCKS, FRACTIONS, ZONES).map("".join)
texts = NUMBERS | WORDS | MOMENTS | st.text(max_size=4)
times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=1))]) | st.none())
others: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | times | st.binary(max_size=4) | st.just([]) | st.just({})
)
FIELDS = parse(ThingSet.schemas[-1], written=True).fields


def made(converter: Converter, values: dict[str, Any]) -> str:
    """By its repr, which tells True from 1 and -0.0 from 0.0."""
    try:
        return repr(converter(values))
    except InvalidEvent as error:
        return f"{error} {error.field}"


@given(st.sampled_from([field.name for field in FIELDS]), texts | others, st.booleans())
@settings(max_examples=200)
def test_the_quick_way_gives_what_the_careful_one_gives(name: str, value: Any, all_texts: bool) -> None:
    """Whatever the value, and the type of its field."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "quick_value", lambda field, *, texts: lambda value: UNSURE)
        careful = Converter(ThingSet, texts=all_texts)
    given_ = {**THING, name: value}
    assert made(Converter(ThingSet, texts=all_texts), given_) == made(careful, given_)


def test_what_is_right_goes_the_quick_way() -> None:
    """Else a file takes several times as long."""
    for field in parse(UserSignup.schemas[-1], written=True).fields:
        if field.name in TEXTS:
            assert quick_value(field, texts=True)(TEXTS[field.name]) is not UNSURE
    nested = {"raw", "part", "parts", "counts", "table"}
    for field in (field for field in FIELDS if field.name in THING):
        unsure = quick_value(field, texts=True)(THING[field.name]) is UNSURE
        assert unsure is (field.name in nested | {"large", "ratio", "flag"}), field.name
