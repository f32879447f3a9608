"""Whether data of one schema can be read with another, and how: Avro's rules, as far as they never fail on a value.

FULL compatibility means both ways: new code reads old records, and workers that are not replaced yet read new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from streams.schemas.avro import MISSING, AvroType, Field, RecordType

NEEDS_A_DEFAULT: Final = (
    " (a field can be renamed or removed only if it has a default in the released version: keep it, add another)"
)
"""Said if a new version leaves out what an older one, which must read its records, cannot do without."""
WIDER: Final = {"int": {"long", "double"}, "long": {"double"}, "float": {"double"}}
"""Other types that may read a type. Avro lets a `float` read whole numbers too, but it cannot represent all of them."""

Adapt = Callable[[Any], Any]


def breaks(new: RecordType, old: RecordType) -> list[str]:
    """Why two versions of one schema are not FULL compatible, one sentence each; empty if they are."""
    found = [f"{problem}; records of version {old.version} exist" for problem in unreadable(new, old)]
    found += [f"{problem}; workers of version {old.version} may still run" for problem in unreadable(old, new)]
    if new.key != old.key:
        found.append(
            f'"key" of {new.name} was {old.key!r} and is {new.key!r}: the same entity would be found in another '
            "partition; give the event a new name instead"
        )
    return found


def unreadable(reader: RecordType, writer: RecordType) -> list[str]:
    """Why `reader` cannot read what `writer` wrote, one sentence for each field; empty if it can."""
    return list(_record(reader, writer, reader.name, (reader.version, writer.version)))


def rekeyed(reader: RecordType, writer: RecordType) -> list[str]:
    """Why an event of `writer` is about another entity for `reader`, in a sentence; empty if it is about the same one.

    A key field that was renamed is the same one. A schema that names no key, as other programs write them, tells nothing.
    """
    written = {field.name: field for field in writer.fields}
    read = next((source for field in reader.fields if field.name == reader.key and (source := _source(field, written))), None)
    if not writer.key or read is None or read.name == writer.key:
        return []
    there_and_here = f"{writer.key!r} there and {reader.key!r} here"
    return [f'the "key" of {reader.name} is {there_and_here}, so it is about another entity, whose rows are elsewhere']


def _record(reader: RecordType, writer: RecordType, where: str, versions: tuple[int, int]) -> Iterator[str]:
    """`versions` are those of the outermost reader and writer, for messages."""
    if reader.name != writer.name and writer.name not in reader.aliases:
        yield f"{where} was the record {writer.name} and is {reader.name}"
        return
    written = {field.name: field for field in writer.fields}
    for field in reader.fields:
        source = _source(field, written)
        if source is not None:
            yield from _type(field.type, source.type, f"{where}.{field.name}", versions)
        elif field.default is MISSING:
            missing = f"{where}.{field.name} is not in version {versions[1]}"
            kept = NEEDS_A_DEFAULT if versions[0] < versions[1] else ""
            yield f"{missing} and has no default in version {versions[0]}{kept}"


def _source(field: Field, written: dict[str, Field]) -> Field | None:
    names = (field.name, *field.aliases)
    return next((written[name] for name in names if name in written), None)


def forgotten(versions: Sequence[RecordType]) -> list[str]:
    """Former names that the first of these versions of one schema no longer reads, one sentence each; the newest comes first.

    Each version names what it renamed. So the versions together say what a field was called in each of them, and a record of that
    version must read so: otherwise the field would silently have its default, or the value of another field.
    """
    numbers = [version.version for version in versions]
    return list(dict.fromkeys(_forgotten(list(versions), versions[0].name, numbers)))


def _forgotten(versions: Sequence[RecordType | None], where: str, numbers: Sequence[int]) -> Iterator[str]:
    """`versions` has None where the record was not yet there, or was another one."""
    newest = versions[0]
    assert newest is not None
    histories = {field.name: _history(field, versions[1:]) for field in newest.fields}
    for at, older in enumerate(versions[1:]):
        if older is None:
            continue
        written = {field.name: field for field in older.fields}
        owners = {source.name: name for name, history in histories.items() if (source := history[at]) is not None}
        for field in newest.fields:
            was, read = histories[field.name][at], _source(field, written)
            path, number = f"{where}.{field.name}", numbers[at + 1]
            last = histories[field.name][0]
            # What is released already cannot get another name any more.
            is_new = last is None or (last.name, {*last.aliases}) != (field.name, {*field.aliases})
            aliases = {*field.aliases} - set(() if last is None or last.name != field.name else last.aliases)
            if was is not None and read is None:
                yield f'{path} was called {was.name} in version {number}: put "{was.name}" into its "aliases"'
            elif is_new and was is not None and read is not None and read.name != was.name:
                yield f"{path} was called {was.name} in version {number}, whose {read.name} it would read: give it another name"
            elif is_new and was is None and read is not None and (owner := owners.get(read.name)) is not None:
                yield f"{path} would read {read.name} of version {number}, which is {where}.{owner} now: give it another name"
            elif is_new and read is not None:
                yield from _misread(field, read, aliases, newest, written, where, number)
    for field in newest.fields:
        nested = [_nested(field.type), *(None if was is None else _nested(was.type) for was in histories[field.name])]
        if nested[0] is not None:
            yield from _forgotten(nested, f"{where}.{field.name}", numbers)


def _misread(
    field: Field, read: Field, aliases: set[str], newest: RecordType, written: dict[str, Field], where: str, number: int
) -> Iterator[str]:
    """Of a field with new names: an alias that reads nothing, since a name before it is there too, or what another field reads."""
    path, unread = f"{where}.{field.name}", sorted(aliases & written.keys() - {read.name})
    if unread:
        both = f"would read {read.name} of version {number}, which has both: remove the alias"
        yield f'{path} has the alias "{unread[0]}" and {both}'
    for other in newest.fields:
        if other is not field and _source(other, written) is read:
            too = f"which {where}.{other.name} reads too: give one another name"
            yield f"{path} would read {read.name} of version {number}, {too}"


def _history(field: Field, older: Sequence[RecordType | None]) -> list[Field | None]:
    """What the field was in each older version, the newest first, by what each version says of the one before."""
    found: list[Field | None] = []
    now: Field | None = field
    for record in older:
        now = None if now is None or record is None else _source(now, {field.name: field for field in record.fields})
        found.append(now)
    return found


def _nested(kind: AvroType) -> RecordType | None:
    """The record that a value of this type is, or has as items."""
    return kind.record if kind.item is None else _nested(kind.item)


def _type(reader: AvroType, writer: AvroType, where: str, versions: tuple[int, int]) -> Iterator[str]:
    if writer.nullable and not reader.nullable:
        yield f"{where} may be null in one version and not in the other"
    if reader.kind != writer.kind:
        if reader.kind not in WIDER.get(writer.kind, ()):
            yield f"{where} is of type {writer.kind} in one version and {reader.kind} in another, which cannot read it"
    elif reader.kind == "record":
        assert reader.record is not None
        assert writer.record is not None
        yield from _record(reader.record, writer.record, where, versions)
    elif reader.kind == "enum":
        unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        if reader.name != writer.name:
            yield f"{where} was the enum {writer.name} and is {reader.name}"
        if unknown and reader.symbol_default is None:
            yield f"{where} has the symbols {', '.join(unknown)} in one version only, and the enum has no default"
    elif reader.item is not None:
        assert writer.item is not None
        yield from _type(reader.item, writer.item, f"{where}{'[]' if reader.kind == 'array' else '{}'}", versions)


def adapter_of(writer: RecordType, reader: RecordType) -> Adapt | None:
    """A function from a dict of `writer`'s fields to one of `reader`'s: new names, and the default for an unknown symbol.

    None if nothing changes. fastavro could resolve too, but returns the JSON of a default (0 for a time), and fails if the
    old name of a field is the name of another one.
    """
    written = {field.name: field for field in writer.fields}
    found = [
        (source.name, field.name, _adapter(source.type, field.type))
        for field in reader.fields
        if (source := _source(field, written)) is not None
    ]
    if all(old == new and adapt is None for old, new, adapt in found):
        return None

    def adapt_record(data: Any) -> Any:
        return {new: data[old] if adapt is None else adapt(data[old]) for old, new, adapt in found}

    return adapt_record


def _adapter(writer: AvroType, reader: AvroType) -> Adapt | None:
    adapt = _plain_adapter(writer, reader)
    if adapt is None or not writer.nullable:
        return adapt
    return lambda value: None if value is None else adapt(value)


def _plain_adapter(writer: AvroType, reader: AvroType) -> Adapt | None:
    if writer.record is not None and reader.record is not None:
        return adapter_of(writer.record, reader.record)
    if not set(writer.symbols) <= set(reader.symbols):
        return lambda symbol: symbol if symbol in reader.symbols else reader.symbol_default
    item = _adapter(writer.item, reader.item) if writer.item is not None and reader.item is not None else None
    if item is None:
        return None
    if writer.kind == "array":
        return lambda items: [item(value) for value in items]
    return lambda items: {name: item(value) for name, value in items.items()}
