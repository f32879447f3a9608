"""Questions to tables: a database answers them as the evaluator in plain Python does, however they are written."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from streams.errors import InvalidQuery
from streams.query.compiled_filters import compiled
from streams.query.cursors import cursor_of, place_of
from streams.query.filters import Filter, filters_of
from streams.query.query import Query, sorted_rows
from streams.query.row_fields import fields_of
from streams.query_parameters import read_query
from streams.server.readmodel.row_columns import columns_of
from tests.support.cases import cases
from tests.support.plain_query import count_of_rows, facets_of_rows, page_of_rows
from tests.support.things import FIELDS, LONG, Place, Thing, conditions, questions, rows, stored, text_of, texts_of

some = settings(max_examples=cases(200), deadline=None, suppress_health_check=list(HealthCheck))
COLUMNS = columns_of(Thing)
NAIVE = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)


@some
@given(rows(), questions())
def test_a_database_answers_as_plain_python_does(there: dict[str, Thing], query: Query) -> None:
    """Every page, its end, the count and the facets."""
    found = stored(there).rows_of("things", COLUMNS, whole=True).page(query)
    expected = page_of_rows(there.items(), query)
    assert [key for key, *_ in found.rows] == [key for key, _ in expected.rows]
    assert found.next == expected.next
    assert found.counted == count_of_rows(there.items(), query)
    assert (found.facets or {}) == facets_of_rows(there.items(), query)


@some
@given(rows(), questions())
def test_filters_for_many_rows_are_the_same(there: dict[str, Thing], query: Query) -> None:
    """As each of them says of each row."""
    holds = compiled(query.filters)
    assert {key: holds(key, row) for key, row in there.items()} == {key: query.holds(key, row) for key, row in there.items()}


@some
@given(rows(), questions())
def test_all_pages_are_the_whole_list_once(there: dict[str, Thing], query: Query) -> None:
    """From cursor to cursor, as a client sends them back; every row is on one page, in the order of the whole list."""
    moment, keys = stored(there), list[str]()
    asked = query
    while True:
        page = moment.rows_of("things", COLUMNS).page(asked)
        keys += [key for key, *_ in page.rows]
        cursor = cursor_of("things", query, page.next)
        if cursor is None:
            break
        assert page.rows
        asked = replace(query, after=place_of("things", query, cursor))
    assert keys == [key for key, _ in sorted_rows(there.items(), query)]


@some
@given(rows(), questions())
def test_all_rows_are_the_whole_list(there: dict[str, Thing], query: Query) -> None:
    """Also from the middle on, sorted once."""
    answers = stored(there).rows_of("things", COLUMNS)
    whole = [key for key, _ in sorted_rows(there.items(), query)]
    assert [key for some in answers.all_rows(query) for key, *_ in some] == whole
    behind = answers.page(query)
    if behind.next is not None:
        rest = answers.all_rows(replace(query, after=behind.next))
        assert [key for some in rest for key, *_ in some] == whole[query.limit :]



@given(questions())
def test_an_address_says_all_of_a_question(query: Query) -> None:
    """Written as parameters and read again, it is the same."""
    for condition in query.filters:
        assume(condition.value != "" or not condition.field.optional or condition.operator not in ("", "ne"))
    assert read_query(texts_of(query).items(), Thing, "things") == query


@some
@given(rows(), conditions())
def test_each_row_is_equal_or_not(there: dict[str, Thing], condition: Filter) -> None:
    """`ne` has the rows that equality has not, `notin` those that `in` has not: also those without a value."""
    other = {"": "ne", "ne": "", "in": "notin", "notin": "in"}.get(condition.operator)
    assume(other is not None)
    opposite = Filter(condition.field, str(other), condition.value)
    moment = stored(there)
    both = [moment.rows_of("things", COLUMNS).page(Query([it])).rows for it in (condition, opposite)]
    assert sorted(key for page in both for key, *_ in page) == sorted(there)


def test_python_and_an_address_mean_the_same() -> None:
    """`where` takes values, and an address texts, of which one has no value."""
    given = {"note": None, "count__gte": 5, "kind__in": ["a"], "at__lt": datetime(2026, 1, 1, tzinfo=UTC), "tags__has": "x"}
    wanted = filters_of(Thing, given)
    assert read_query({text: text_of(it) for text, it in zip(given, wanted, strict=True)}.items(), Thing, "t").filters == wanted


def test_a_field_inside_a_part_has_a_name_with_a_dot() -> None:
    """It has no value where the part is nothing."""
    there = {"a": Thing(place=Place(city="Graz")), "b": Thing(place=Place(city="Wien", floor=2)), "c": Thing()}
    assert asked(there, **{"place.city": "Graz"}) == ["a"]
    assert asked(there, **{"place.floor__isnull": "true"}) == ["a", "c"]
    assert asked(there, _sort="-place.city") == ["b", "a", "c"]


def test_a_name_with_two_lines_is_looked_for_whole_first() -> None:
    """A field may be called as an operator is written."""
    there = {"a": Thing(by__who="x"), "b": Thing(by__who="y")}
    assert asked(there, by__who="x") == ["a"]
    assert asked(there, by__who__ne="x") == ["b"]


def test_a_value_with_a_comma_is_in_a_list_of_json() -> None:
    """Also nothing, which has no other way to be one of several."""
    there = {"a": Thing(note="a,b"), "b": Thing(note="c"), "c": Thing(), "d": Thing(note="d")}
    assert asked(there, note__in='["a,b","c"]') == ["a", "b"]
    assert asked(there, note__in='["c",null]') == ["b", "c"]
    assert asked(there, note__notin="c,d") == ["a", "c"]


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("lt", LONG + "b", ["a", "b"]), ("lte", LONG + "b", ["a", "b", "c"]), ("gt", LONG + "a", ["c", "d"]),
        ("gte", LONG + "b", ["c", "d"]), ("ne", LONG + "b", ["a", "b", "d"]), ("in", LONG + "b," + LONG, ["a", "c"]),
        ("notin", LONG + "b," + LONG, ["b", "d"]), ("startswith", LONG + "b", ["c", "d"]), ("contains", "a", ["b", "d"]),
        ("lt", LONG, []), ("gte", LONG, ["a", "b", "c", "d"]),
    ],
)  # fmt: skip
def test_all_of_a_long_text_is_compared_by_a_filter(operator: str, value: str, expected: list[str]) -> None:
    """The column, and so an index, has its beginning alone, in which all of these are equal."""
    there = {key: Thing(text=LONG + rest) for key, rest in (("a", ""), ("b", "a"), ("c", "b"), ("d", "ba"))}
    assert asked(there, **{f"text__{operator}": value}) == expected


def test_nothing_comes_last_whatever_the_direction_of_each_field() -> None:
    """Also behind the first field of an order."""
    there = {"a": Thing(count=1), "b": Thing(count=1, note="x"), "c": Thing(count=2, note="y"), "d": Thing(count=2)}
    assert asked(there, _sort="-count,note") == ["c", "d", "b", "a"]
    assert asked(there, _sort="count,-note") == ["b", "a", "c", "d"]


def asked(there: Mapping[str, Thing], **parameters: str) -> list[str]:
    query = read_query(parameters.items(), Thing, "things")
    return [key for key, *_ in stored(there).rows_of("things", COLUMNS).page(query).rows]


@pytest.mark.parametrize(
    ("parameters", "problem", "message"),
    [
        ({"totl": "5"}, "unknown-field", "'totl' is no parameter here; there are text, note, .*_key, _sort, .*"),
        ({"cuont": "5"}, "unknown-field", r".*\(did you mean count\?\)$"),
        ({"cuont__gte": "5"}, "unknown-field", r".*\(did you mean count\?\)$"),
        ({"_srt": "text"}, "unknown-field", r".*\(did you mean _sort\?\)$"),
        ({"count__gte": "abc"}, "wrong-value", "the parameter 'count__gte' is 'abc'; a whole number was expected"),
        ({"count": str(2**63)}, "wrong-value", "the parameter 'count' is '9223372036854775808'; a whole number from -9.*"),
        ({"at__lt": "2026-01-01T00:00:00"}, "wrong-value", ".*an ISO 8601 time with a zone.*"),
        ({"at__lt": ""}, "wrong-value", "the parameter 'at__lt' is '';.*"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "wrong-value", ".*an ISO 8601 time with a zone.*"),
        ({"kind__in": ""}, "wrong-value", "the parameter 'kind__in' is a list of 0 values; 1 to 100 of them.*"),
        ({"kind__in": "a,c"}, "wrong-value", "the parameter 'kind__in' is 'c'; one of a, b was expected"),
        ({"kind__in": "[a"}, "wrong-value", "the parameter 'kind__in' is '.a'; values with commas.*"),
        ({"kind__in": '[["a"]]'}, "wrong-value", ".*or a JSON list such as.*"),
        ({"kind__in": "[null]"}, "wrong-value", "the parameter 'kind__in' is null; one of a, b was expected"),
        ({"text__in": ",".join(["a"] * 101)}, "wrong-value", ".*is a list of 101 values.*"),
        ({"note__isnull": "yes"}, "wrong-value", "the parameter 'note__isnull' is 'yes'; true or false was expected"),
        ({"text": "\ud800"}, "wrong-value", r"the parameter 'text' is '\\ud800'; a text was expected"),
        ({"tags__gt": "a"}, "wrong-operator", "'tags__gt': the field 'tags' has no operator 'gt'; it has has"),
        ({"tags": "a"}, "wrong-operator", "'tags' is a list.*tags__has.*"),
        ({"done__lt": "true"}, "wrong-operator", ".*it has ne, in, notin, isnull"),
        ({"count__startwith": "1"}, "wrong-operator", ".*no operator 'startwith'; it has ne,.*"),
        ({"text__": "a"}, "wrong-operator", ".*"),
        ({"place": "Graz"}, "wrong-operator", "'place' holds more than one value.*"),
        ({"_sort": "tags"}, "not-sortable", "_sort is 'tags', and 'tags' is a field of more than one value; rows are sorted by.*"),
        ({"_sort": "nothing"}, "unknown-field", "_sort is 'nothing', and 'nothing' is no field that there is.*"),
        ({"_sort": "text,-text"}, "not-sortable", ".*names text twice"),
        ({"_sort": "text,note,count,done"}, "not-sortable", ".*at most 3 fields, and _key.*"),
        ({"_limit": "1001"}, "wrong-value", "_limit is '1001'; a whole number from 0 to 1000 was expected"),
        ({"_limit": "٣"}, "wrong-value", "_limit is.*"),
        ({"_count": "all"}, "wrong-value", "_count is 'all'; capped .* or exact was expected"),
        ({"_facet": "tags"}, "not-sortable", "_facet is 'tags'.*"),
        ({"_select": "text,tx"}, "unknown-field", "_select is 'text,tx', and 'tx' is no field.*did you mean text.*"),
        ({f"text__{n}": "" for n in range(21)}, "too-many-filters", "there are 21 filters; at most 20 were expected"),
        ({"_next": "x"}, "wrong-cursor", "_next is 'x'; the `next` of a page was expected.*"),
    ],
)
def test_a_question_that_has_no_answer_is_refused_in_words(parameters: dict[str, str], problem: str, message: str) -> None:
    """What, which value, and what was expected; each kind of problem has a name."""
    with pytest.raises(InvalidQuery, match=f"(?s)^{message}") as caught:
        read_query(parameters.items(), Thing, "things")
    assert caught.value.problem == problem
    assert caught.value.field in {*parameters, ""}


def test_a_parameter_given_twice_is_refused() -> None:
    """Else one of them would be left out in silence."""
    with pytest.raises(InvalidQuery, match="'text__lt' is given twice") as caught:
        read_query([("text__lt", "a"), ("text__lt", "b")], Thing, "things")
    assert caught.value.problem == "given-twice"


def cursor(**parameters: str) -> tuple[Query, str]:
    query = read_query({"_sort": "at,ratio,count", **parameters}.items(), Thing, "things")
    text = cursor_of("things", query, (None, float("inf"), 7, "k"))
    assert text is not None
    return query, text


def test_a_cursor_holds_what_json_has_no_word_for() -> None:
    """An endless number, and nothing."""
    query, text = cursor()
    assert place_of("things", query, text) == (None, float("inf"), 7, "k")


@pytest.mark.parametrize(
    "other", [{"_sort": "at,ratio,-count"}, {"_sort": "at,ratio"}, {"count": "7"}, {"count__ne": "7"}, {"text": ""}]
)
def test_a_cursor_of_another_question_is_refused(other: dict[str, str]) -> None:
    """Other filters or another order: the page would begin anywhere."""
    _, text = cursor(note="x")
    with pytest.raises(InvalidQuery, match="_next is") as caught:
        read_query({"_sort": "at,ratio,count", "note": "x", **other, "_next": text}.items(), Thing, "things")
    assert caught.value.problem == "wrong-cursor"


def test_a_cursor_of_another_table_is_refused() -> None:
    """Also if its rows have the same fields."""
    query, text = cursor()
    with pytest.raises(InvalidQuery, match="of the same table"):
        place_of("others", query, text)


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw.replace(b"7", b'"7"'),
        lambda raw: raw.replace(b"7", b"7.5"),
        lambda raw: raw.replace(b"7", b"null,7"),
        lambda raw: raw.replace(b"7", b"9223372036854775808"),
        lambda raw: raw.replace(b'"inf"', b'"nan"'),
        lambda raw: raw.replace(b'"k"', b"null"),
        lambda raw: raw.replace(b"null", b'"2026-01-01T00:00:00"'),
        lambda raw: raw[:-1],
        lambda raw: b"{}",
        lambda raw: b"",
        lambda raw: raw + b" " * 9000,
    ],
)
def test_a_cursor_that_was_edited_is_refused(edit: Any) -> None:
    """Values of another type would be compared with nothing that there is."""
    query, text = cursor()
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    changed = edit(raw)
    assert changed != raw
    with pytest.raises(InvalidQuery, match="_next is"):
        place_of("things", query, base64.urlsafe_b64encode(changed).decode().rstrip("="))


@pytest.mark.parametrize("letters", ["!", "ä", "\0", " "])
def test_a_cursor_with_letters_of_none_is_refused(letters: str) -> None:
    """They are not passed over, as base64 is read elsewhere."""
    query, text = cursor()
    with pytest.raises(InvalidQuery, match="_next is"):
        place_of("things", query, text[:4] + letters + text[4:])


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        ({"cuont": 5}, "unknown-field"), ({"count": "5"}, "wrong-value"), ({"count": True}, "wrong-value"),
        ({"count": None}, "wrong-value"), ({"done": 1}, "wrong-value"), ({"at": NAIVE}, "wrong-value"),
        ({"kind": "c"}, "wrong-value"), ({"kind__in": "ab"}, "wrong-value"), ({"ratio": float("nan")}, "wrong-value"),
        ({"ratio": 2**53 + 1}, "wrong-value"), ({"note__isnull": 1}, "wrong-value"), ({"tags": ("a",)}, "wrong-operator"),
        ({"raw__lt": b""}, "wrong-operator"), ({"place": None}, "wrong-operator"), ({"note__lt": None}, "wrong-value"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_in_python(conditions: dict[str, Any], problem: str) -> None:
    """It would choose no row, and nobody would see why."""
    with pytest.raises(InvalidQuery) as caught:
        filters_of(Thing, conditions)
    assert caught.value.problem == problem


def test_fields_are_listed_in_their_order_with_the_key_last() -> None:
    """A part is there, and its own fields behind it."""
    assert [*fields_of(Thing)][7:] == ["kind", "place", "place.city", "place.floor", "tags", "scores", "times", "by__who", "_key"]
    assert FIELDS["place.city"].optional
