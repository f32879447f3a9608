"""Schema files, their mistakes, and what may follow on a released version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.errors import FrozenSchemaChanged, IncompatibleSchema, InvalidSchema
from streams.schemas.avro import parse
from streams.schemas.compatibility import breaks, forgotten, rekeyed, unreadable
from streams.schemas.files import load, read_all
from streams.schemas.generate import release
from streams.schemas.lock import Lock, check, load_lock, lock_text, locked_of, update

SIGNUP = """{
  "type": "record",
  "name": "signup",
  "namespace": "user",
  "key": "user",
  "fields": [
    {"name": "user", "type": "string"},
    {"name": "plan", "type": "string", "default": "free"}
  ]
}
"""


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A folder with one event."""
    write(tmp_path, "user/signup.avsc", SIGNUP)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def only_breach(folder: Path) -> str:
    """The one thing wrong in `folder`, with paths as seen from there."""
    _, (breach,) = read_all(folder)
    return str(breach).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"string"}', '"string"', "user/signup.avsc:8: column 5: this is no JSON"),
        ('"default": "free"', '"default": free', "user/signup.avsc:8: column 51: this is no JSON: Expecting value"),
        ('"default": "free"', '"default": NaN', "user/signup.avsc:8: NaN is no JSON"),
        ('n", "type": "string"', 'n", "type": "strng"', "user/signup.avsc:8: user.signup.plan has the type 'strng'"),
        ('n", "type": "string"', 'n", "typo": "string"', 'user/signup.avsc:8: user.signup.plan has no "type"'),
        ('"plan"', '"class"', "user/signup.avsc:8: user.signup.class is no name for a field"),
        ('"plan"', '"key"', "user/signup.avsc:8: user.signup.key is no name for a field"),
        ('"plan"', '"Plan"', "user/signup.avsc:8: user.signup.Plan is no name for a field"),
        ('"plan"', '"user"', "user/signup.avsc:7: user.signup has two fields called 'user'"),
        ('"default": "free"', '"default": 1', "user/signup.avsc:8: user.signup.plan has the default 1"),
        ('"default": "free"', '"default": null', "user/signup.avsc:8: user.signup.plan has the default null"),
        ('"default": "free"', '"aliases": "tier"', "user/signup.avsc:8: \"aliases\" of user.signup.plan is 'tier'"),
        ('"key": "user"', '"key": "usr"', "user/signup.avsc:5: \"key\" of user.signup is 'usr'"),
        ('"key": "user"', '"version": 0, "key": "user"', 'user/signup.avsc:5: "version" of user.signup is 0'),
        ('  "key": "user",\n', "", 'user/signup.avsc:1: the event user.signup has no "key"'),
        ('"key"', '"name": "x", "key"', 'user/signup.avsc:3: an object has "name" twice'),
        ('"name": "signup"', '"name": "sign_up"', "user/signup.avsc:3: the record is called user.sign_up; expected"),
        ('"type": "record"', '"type": "enum"', "user/signup.avsc:1: a schema begins as"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(schemas: Path, old: str, new: str, message: str) -> None:
    """A typo in a schema file is one line: the file, the line, what is there and what was expected."""
    write(schemas, "user/signup.avsc", SIGNUP.replace(old, new, 1))
    assert only_breach(schemas).startswith(message)
    with pytest.raises(InvalidSchema, match=r"signup\.avsc"):
        load(schemas)


def with_type(kind: object) -> str:
    """An event with one more field of this type."""
    schema = json.loads(SIGNUP)
    schema["fields"].append({"name": "more", "type": kind})
    return json.dumps(schema)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (["string", "long"], "is a union of 2"),
        (["null", "string", "long"], "is a union of 3"),
        (["null", ["null", "string"]], "a union in a union"),
        ("null", "'null', which nobody knows"),
        ({"type": "fixed", "name": "F", "size": 4}, "'fixed', which nobody knows"),
        ({"type": "string", "logicalType": "uuid"}, "logicalType 'uuid'"),
        ({"type": "int", "logicalType": "timestamp-micros"}, "expected a long"),
        ({"type": "enum", "name": "E", "symbols": []}, "symbols []"),
        ({"type": "enum", "name": "E", "symbols": ["a-b"]}, "symbols ['a-b']"),
        ({"type": "enum", "name": "E", "symbols": ["a", "a"]}, "repeats a symbol"),
        ({"type": "enum", "name": "E", "symbols": ["a"], "default": "b"}, "its default is none of them"),
        ({"type": "record", "name": "Empty", "fields": []}, 'has no "fields"'),
        ({"type": "array"}, "the type None"),
        ({"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}, "user.N inside itself"),
        ({"type": "array", "items": "signup"}, "holds user.signup inside itself"),
        (7, "has the type 7"),
    ],
)
def test_what_is_left_out_of_avro_is_said(kind: object, words: str) -> None:
    """A type that retold does not carry is refused in a sentence that names the field."""
    with pytest.raises(InvalidSchema) as caught:
        parse(with_type(kind))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["user/Sign.avsc", "user/a/b.avsc", "1user.avsc", "user/row.avsc"])
def test_a_file_in_a_wrong_place_is_named(tmp_path: Path, name: str) -> None:
    """A path that is no event and no row is refused, and so is an event called row."""
    write(tmp_path, name, SIGNUP.replace('"signup"', '"row"'))
    assert name in only_breach(tmp_path)


def test_a_row_has_no_key(tmp_path: Path) -> None:
    """A row is found by its key; it does not name one."""
    write(tmp_path, "user.avsc", SIGNUP.replace('"signup"', '"row"'))
    assert only_breach(tmp_path) == 'user.avsc:5: the row user.row has a "key"; only events name one'


def test_a_projection_may_have_a_hyphen(tmp_path: Path) -> None:
    """The row of `orders-per-day` is the record orders_per_day.row, as Avro has no hyphen in names."""
    fields = [{"name": "count", "type": "long"}]
    schema = {"type": "record", "name": "orders_per_day.row", "fields": fields}
    write(tmp_path, "orders-per-day.avsc", json.dumps(schema))
    assert [file.name for file in load(tmp_path)] == ["orders_per_day.row"]


def test_one_type_is_one_thing(schemas: Path) -> None:
    """A record that two files define differently is reported at the second."""
    line = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}
    write(schemas, "user/signup.avsc", with_type(line))
    other = json.loads(with_type(line | {"fields": [{"name": "sku", "type": "long"}]}))
    write(schemas, "user/thing.avsc", json.dumps(other | {"name": "thing"}))
    assert only_breach(schemas).startswith("user/thing.avsc:1: user.Line is defined otherwise in user/signup.avsc")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Without a folder of schemas, the message says which and what to make."""
    with pytest.raises(InvalidSchema, match=r"there is no folder .*nowhere"):
        load(tmp_path / "nowhere")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are one breach like any other."""
    (tmp_path / "user.avsc").write_bytes(b"\xff\xfe")
    assert only_breach(tmp_path).startswith("user.avsc:1: the file cannot be read")


def test_brackets_without_end_are_named(tmp_path: Path) -> None:
    """A file nested beyond reason is refused, it does not end the command."""
    (tmp_path / "user.avsc").write_text('{"a":' * 100_000, encoding="utf-8")
    assert only_breach(tmp_path).startswith("user.avsc:1: ")


COLOUR = {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}


def event(number: int, *fields: dict[str, object], key: str = "user") -> str:
    """A version of `user.signup` with these fields behind its key."""
    schema: dict[str, object] = {"type": "record", "name": "user.signup", "key": key, "version": number}
    return json.dumps(schema | {"fields": [{"name": "user", "type": "string"}, *fields]})


def one(kind: object, **more: object) -> dict[str, object]:
    return {"name": "a", "type": kind, **more}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([], [one("string", default="")]),
        ([one("string", default="")], []),
        ([one("string", default="")], [{"name": "b", "type": "string", "default": "", "aliases": ["a"]}]),
        ([one(COLOUR | {"default": "red"})], [one(COLOUR | {"symbols": ["red", "blue"], "default": "red"})]),
        ([one("string")], [one("string", default="x")]),
        ([one("string")], [one("string", doc="words")]),
    ],
)
def test_what_may_follow(old: list[dict[str, object]], new: list[dict[str, object]]) -> None:
    """Fields with defaults may come, go and be renamed; an enum with a default may change."""
    assert breaks(parse(event(2, *new)), parse(event(1, *old))) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ([], [one("string")], "user.signup.a is not in version 1 and has no default in version 2"),
        ([one("string")], [], "in version 1 (a field can be renamed or removed only if it has a default in the released"),
        ([one("string")], [one("long")], "user.signup.a is of type string in one version and long in another"),
        ([one("long")], [one(MICROS)], "user.signup.a is of type long in one version and timestamp-micros"),
        ([one("int")], [one("long")], "user.signup.a is of type long in one version and int"),
        ([one("string")], [one(["null", "string"])], "user.signup.a may be null in one version"),
        ([one(COLOUR)], [one(COLOUR | {"symbols": ["red"]})], "user.signup.a has the symbols green in one version"),
        ([one(COLOUR)], [one(COLOUR | {"name": "Paint"})], "user.signup.a was the enum user.Colour and is user.Paint"),
        (
            [one({"type": "array", "items": "int"})],
            [one({"type": "array", "items": "string"})],
            "user.signup.a[] is of type int",
        ),
        ([one({"type": "map", "values": "int"})], [one({"type": "map", "values": "bytes"})], "a{} is of type int"),
    ],
)
def test_what_may_not_follow(old: list[dict[str, object]], new: list[dict[str, object]], words: str) -> None:
    """A change that old or new code could not read is named with its field."""
    found = breaks(parse(event(2, *new)), parse(event(1, *old)))
    assert words in "\n".join(found)


def test_the_key_may_not_move() -> None:
    """Another key field would put the same entity into another partition."""
    field = one("string", default="")
    found = breaks(parse(event(2, field, key="a")), parse(event(1, field)))
    assert "\"key\" of user.signup was 'user' and is 'a'" in found[0]


def test_a_wider_number_reads_a_narrower_one() -> None:
    """One way only: a long reads what an int wrote."""
    narrow, wide = parse(event(1, one("int"))), parse(event(2, one("long")))
    assert unreadable(wide, narrow) == []
    assert unreadable(narrow, wide) != []


def released(schemas: Path) -> Lock:
    """The lock with everything in `schemas` released."""
    drafts = json.loads(lock_text(update(load(schemas), {})))
    for versions in drafts.values():
        versions[-1]["released"] = True
    write(schemas, "lock.json", json.dumps(drafts))
    return load_lock(schemas)


def test_a_draft_may_change(schemas: Path) -> None:
    """Until it is released, a schema follows its file, also where it would break."""
    lock = update(load(schemas), {})
    write(schemas, "user/signup.avsc", SIGNUP.replace(', "default": "free"', ""))
    changed = update(load(schemas), lock)
    assert [v.version for v in changed["user.signup"]] == [1]
    assert changed != lock


def test_a_released_version_is_frozen(schemas: Path) -> None:
    """A released version whose file changed is reported with both fingerprints and what to do."""
    lock = released(schemas)
    write(schemas, "user/signup.avsc", SIGNUP.replace("free", "pro"))
    files = load(schemas)
    ((name, error),) = check(files, lock)
    assert name == "user.signup"
    assert isinstance(error, FrozenSchemaChanged)
    assert f"{lock['user.signup'][0].fingerprint[:12]}…" in str(error)
    assert f"{update(files, {})['user.signup'][0].fingerprint[:12]}…" in str(error)
    assert 'put "version": 2 into the file' in str(error)
    with pytest.raises(FrozenSchemaChanged):
        update(files, lock)


def test_a_doc_is_not_frozen(schemas: Path) -> None:
    """Words for people may be improved at any time."""
    lock = released(schemas)
    write(schemas, "user/signup.avsc", SIGNUP.replace('"key"', '"doc": "Better words.", "key"'))
    assert check(load(schemas), lock) == []


def test_a_next_version_stands_beside_the_last(schemas: Path) -> None:
    """A readable change under the next number gives a second version; the released one stays."""
    lock = released(schemas)
    plan = {"name": "plan", "type": "string", "default": "free"}
    write(schemas, "user/signup.avsc", event(2, one("string", default=""), plan))
    versions = update(load(schemas), lock)["user.signup"]
    assert [(v.version, v.released) for v in versions] == [(1, True), (2, False)]
    assert versions[0] == lock["user.signup"][0]


def test_a_next_version_must_be_readable(schemas: Path) -> None:
    """A second version that breaks readers is refused, naming the field."""
    lock = released(schemas)
    write(schemas, "user/signup.avsc", event(2, {"name": "plan", "type": "long", "default": 1}))
    errors = [error for _, error in check(load(schemas), lock)]
    assert all(isinstance(error, IncompatibleSchema) for error in errors)
    assert "version 2 of user.signup: user.signup.plan is of type string" in str(errors[0])


def test_a_third_version_must_read_the_first(schemas: Path) -> None:
    """Readable by its neighbour is not enough: the log holds records of every version."""
    schema = json.loads(event(1, {"name": "plan", "type": "string", "default": "free"}))
    write(schemas, "user/signup.avsc", json.dumps(schema))
    released(schemas)
    write(schemas, "user/signup.avsc", event(2, one("string", default="")))
    first = load_lock(schemas)
    second = json.loads(lock_text(update(load(schemas), first)))
    second["user.signup"][-1]["released"] = True
    write(schemas, "lock.json", json.dumps(second))
    write(schemas, "user/signup.avsc", event(3, one("string")))
    errors = [str(error) for _, error in check(load(schemas), load_lock(schemas))]
    assert errors == [
        "version 3 of user.signup: user.signup.a is not in version 1 and has no default in version 3; "
        "records of version 1 exist. Add fields with a default, keep those without one, or give the event a new name"
    ]


@pytest.mark.parametrize("number", [1, 3])
def test_versions_are_counted(schemas: Path, number: int) -> None:
    """A version that was used already, or one too far, is refused with the number that belongs there."""
    lock = released(schemas)
    write(schemas, "user/signup.avsc", event(number, {"name": "plan", "type": "string", "default": "pro"}))
    ((_, error),) = check(load(schemas), lock)
    assert 'put "version": 2 into the file' in str(error)


def test_a_released_schema_does_not_go(schemas: Path) -> None:
    """A file that is taken away would leave a log that nobody can read."""
    lock = released(schemas)
    (schemas / "user/signup.avsc").unlink()
    ((name, error),) = check(load(schemas), lock)
    assert (name, type(error)) == ("user.signup", FrozenSchemaChanged)


@pytest.mark.parametrize(
    ("was", "now", "is_told"),
    [
        ("user", {"key": "user"}, False),
        ("user", {"key": "plan"}, True),
        ("user", {"key": "name", "aliases": ["user"]}, False),
        ("plan", {"key": "name", "aliases": ["user"]}, True),
        ("", {"key": "plan"}, False),
    ],
)
def test_another_key_field_is_told_and_another_name_of_it_is_not(was: str, now: dict[str, Any], is_told: bool) -> None:
    """Whether it is the same field, its former names say; a program that writes schemas without a key says nothing."""
    name = "name" if "aliases" in now else "user"
    entity = {"name": name, "type": "string", "aliases": now.get("aliases", [])}
    fields = [entity, {"name": "plan", "type": "string", "default": "free"}]
    reader = parse(json.dumps({**json.loads(SIGNUP), "key": now["key"], "fields": fields}))
    assert bool(rekeyed(reader, parse(json.dumps({**json.loads(SIGNUP), "key": was})))) is is_told


def test_a_draft_may_go(schemas: Path) -> None:
    """A schema that was never released is gone with its file."""
    lock = update(load(schemas), {})
    (schemas / "user/signup.avsc").unlink()
    assert update(load(schemas), lock) == {}


def test_an_edited_lock_is_found(schemas: Path) -> None:
    """A schema in the lock that is not what its fingerprint says was changed by hand."""
    released(schemas)
    path = schemas / "lock.json"
    path.write_text(path.read_text(encoding="utf-8").replace("free", "pro"), encoding="utf-8")
    with pytest.raises(InvalidSchema, match=r"version 1 of user\.signup is not what its fingerprint"):
        load_lock(schemas)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InvalidSchema, match="the lock does not read"):
        load_lock(schemas)


def test_two_schemas_of_one_id_are_found(schemas: Path) -> None:
    """Ids are 31 bits of a hash: should two ever meet, somebody hears of it before a record is written."""
    lock = released(schemas)
    taken = json.loads(lock_text(lock))
    taken["user.other"] = [taken["user.signup"][0] | {"fingerprint": "0" * 64}]
    clash = msgspec.convert(taken, Lock)
    messages = [str(error) for _, error in check(load(schemas), clash)]
    assert any("have one id" in message for message in messages)


def chain(*versions: list[dict[str, object]]) -> list[str]:
    """What the last of these versions no longer reads of the ones before."""
    return forgotten([parse(event(number, *fields)) for number, fields in reversed(list(enumerate(versions, 1)))])


def named(name: str, *aliases: str, kind: object = "string", default: object = "") -> dict[str, object]:
    return {"name": name, "type": kind, "default": default} | ({"aliases": list(aliases)} if aliases else {})


def in_record(*fields: dict[str, object]) -> list[dict[str, object]]:
    """The fields in a record in a map of arrays of a field that stays."""
    part = {"type": "record", "name": "Part", "fields": list(fields)}
    return [{"name": "parts", "type": {"type": "map", "values": {"type": "array", "items": part}}}]


@pytest.mark.parametrize("wrap", [lambda field: [field], in_record])
def test_a_field_that_is_renamed_twice_names_both_former_names(
    wrap: Callable[[dict[str, object]], list[dict[str, object]]]
) -> None:
    """Its value in the oldest records would be the default; the versions together know what it was called."""
    first, second = wrap(named("origin")), wrap(named("source", "origin"))
    assert chain(first, second) == []
    assert chain(first, second, wrap(named("supplier", "source", "origin"))) == []
    [lost] = chain(first, second, wrap(named("supplier", "source")))
    assert 'supplier was called origin in version 1: put "origin" into its "aliases"' in lost
    [dropped] = chain(first, second, wrap(named("source")))
    assert "source was called origin in version 1" in dropped
    back = chain(first, second, wrap(named("origin", "source")))
    assert back == []
    third = wrap(named("supplier", "source"))
    assert chain(first, second, third, wrap(named("supplier", "source", "origin"))) == []
    both = chain(first, second, third, wrap(named("maker", "supplier")))
    assert ['"source"' in both[0], '"origin"' in both[1], len(both)] == [True, True, 2]


def test_a_former_name_is_not_given_to_another_field() -> None:
    """It would read the values of the field that had the name."""
    [taken] = chain([named("a")], [named("b", "a")], [named("b", "a"), named("a")])
    assert taken == "user.signup.a would read a of version 1, which is user.signup.b now: give it another name"
    [other] = chain([named("a"), named("b")], [named("c", "a")], [named("b", "c")])
    assert other == "user.signup.b was called a in version 1, whose b it would read: give it another name"
    assert chain([named("a")], [named("c")], [named("a")]) == []


@pytest.mark.parametrize("wrap", [lambda *fields: list(fields), in_record])
def test_an_alias_that_reads_nothing_or_what_another_field_reads_is_a_breach(
    wrap: Callable[..., list[dict[str, object]]]
) -> None:
    """Names that are swapped were not, and of two fields one was given the other one's values, without a word."""
    two = wrap(named("a"), named("b"))
    swapped = chain(two, wrap(named("a", "b"), named("b", "a")))
    assert ['a has the alias "b" and would read a of version 1' in swapped[0], len(swapped)] == [True, 2]
    [replaced] = chain(two, wrap(named("b", "a")))
    assert 'b has the alias "a" and would read b of version 1, which has both: remove the alias' in replaced
    [kept] = chain(wrap(named("a")), wrap(named("b", "a"), named("a")))
    assert "b would read a of version 1, which" in kept
    assert "a reads too: give one another name" in kept
    assert len(chain(wrap(named("a")), wrap(named("b", "a"), named("c", "a")))) == 2
    [moved] = chain(two, wrap(named("c", "a")), wrap(named("c", "b")))
    assert "c was called a in version 1, whose b it would read: give it another name" in moved
    taken = chain(two, wrap(named("b")), wrap(named("c", "a")), wrap(named("c", "a"), named("a")))
    assert ["a would read a of version 1, which" in taken[0], len(taken)] == [True, 1]
    released = wrap(named("b", "a"), named("a"))
    assert chain(wrap(named("a")), released, released) == []


def test_a_version_that_forgets_a_name_is_a_breach_also_when_it_is_released(schemas: Path) -> None:
    """The next version can still name it; until then `check` does not let it rest."""

    def release_as(number: int, field: dict[str, object]) -> None:
        write(schemas, "user/signup.avsc", event(number, named("plan", default="free"), field))
        release(schemas)

    write(schemas, "user/signup.avsc", event(1, named("plan", default="free"), named("origin")))
    release(schemas)
    release_as(2, named("source", "origin"))
    write(schemas, "user/signup.avsc", event(3, named("plan", default="free"), named("supplier", "source")))
    [(_, error)] = check(load(schemas), load_lock(schemas))
    assert 'user.signup.supplier was called origin in version 1: put "origin" into its "aliases"' in str(error)
    lock = json.loads((schemas / "lock.json").read_text(encoding="utf-8"))
    file = next(file for file in load(schemas) if file.name == "user.signup")
    released_as = msgspec.to_builtins(locked_of(file, released=True))
    lock["user.signup"].append(released_as)  # by a version of retold that did not look
    write(schemas, "lock.json", json.dumps(lock))
    [(_, error)] = check(load(schemas), load_lock(schemas))
    assert "It is released: write version 4" in str(error)
    write(schemas, "user/signup.avsc", event(4, named("plan", default="free"), named("supplier", "source", "origin")))
    assert check(load(schemas), load_lock(schemas)) == []
