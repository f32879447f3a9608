"""The source of the generated module: one frozen class for each event, row and record inside them."""

from __future__ import annotations

import ast
import json
import keyword
import textwrap
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from streams.errors import InvalidSchema
from streams.schemas.avro import EPOCH, MISSING, AvroType, Field, RecordType
from streams.schemas.files import SchemaFile, parts_of
from streams.schemas.lock import Lock, released_of
from streams.schemas.schema_ids import fingerprint
from streams.syntax import parse

HEADER = '"""Written by `retold schemas generate`. Do not edit."""\n'
LONG = "# ruff: noqa: E501 - a schema is one line, however long\n"
FUTURE = "\nfrom __future__ import annotations\n"


TAKEN = frozenset({"UTC", "EventData", "Record", "Mapping", "MappingProxyType", "ClassVar", "Literal"})
"""What the generated module imports, or may import, under names that a class could have."""


def class_name(name: str) -> str:
    """`UserSignup` of `user.signup`, `OrderLineReserved` of `order.line_reserved`."""
    return "".join(word[:1].upper() + word[1:] for word in name.replace(".", "_").split("_"))


def render(files: Sequence[SchemaFile], lock: Lock) -> str:
    """The whole module. Raises InvalidSchema if two schemas would have one class name."""
    _check_names(files)
    seen: set[str] = set()
    classes: list[str] = []
    for file in files:
        for part in parts_of(file.record):
            if part.record is not None and part.name not in seen:
                seen.add(part.name)
                classes.append(_class(part.record, class_name(_short(part.name)), "Record", []))
        base = "Record" if file.is_row else "EventData"
        classes.append(_class(file.record, class_name(file.name), base, [*_class_variables(file, lock)]))
    body = "\n\n".join(classes)
    names = "".join(f'    "{name}",\n' for name in sorted(_names(files)))
    exported = f"__all__ = [\n{names}]\n" if names else "__all__: list[str] = []\n"
    text = f"{FUTURE}\n{_imports(body)}\n{exported}\n\n{body}" if classes else f"{FUTURE}\n{exported}"
    return HEADER + (LONG if any(map(_too_long, text.splitlines())) else "") + text


def _too_long(line: str) -> bool:
    """As ruff sees it: a line without a space cannot be broken and is no fault."""
    return len(line) > 120 and " " in line.strip()


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _names(files: Sequence[SchemaFile]) -> dict[str, str]:
    """Class name to schema name; a clash keeps the first."""
    found: dict[str, str] = {}
    for file in files:
        found.setdefault(class_name(file.name), file.name)
        for part in parts_of(file.record):
            if part.record is not None:
                found.setdefault(class_name(_short(part.name)), part.name)
    return found


def _check_names(files: Sequence[SchemaFile]) -> None:
    owners = _names(files)
    for file in files:
        parts = [part.name for part in parts_of(file.record) if part.record is not None]
        for name, cls in [(file.name, class_name(file.name)), *((part, class_name(_short(part))) for part in parts)]:
            if keyword.iskeyword(cls):
                raise InvalidSchema(f"{file.path}:1: {name} would be the class {cls}, which is a word of Python: rename it")
            if owners[cls] != name or cls in TAKEN:
                other = owners[cls] if owners[cls] != name else "a name of the generated module"
                raise InvalidSchema(f"{file.path}:1: {name} and {other} would both be the class {cls}: rename one")


def _imports(body: str) -> str:
    """Only what the classes use, in the order that ruff wants."""
    tree = {node.id for node in ast.walk(parse(body)) if isinstance(node, ast.Name)}
    lines = []
    if "Mapping" in tree:
        lines.append("from collections.abc import Mapping")
    datetime_names = [name for name in ("UTC", "datetime") if name in tree]
    if datetime_names:
        lines.append(f"from datetime import {', '.join(datetime_names)}")
    if "MappingProxyType" in tree:
        lines.append("from types import MappingProxyType")
    typing_names = [name for name in ("ClassVar", "Literal") if name in tree]
    if typing_names:
        lines.append(f"from typing import {', '.join(typing_names)}")
    data_names = [name for name in ("EventData", "Record") if name in tree]
    return "\n".join([*lines, "", f"from streams.data import {', '.join(data_names)}", ""])


def _class(record: RecordType, name: str, base: str, variables: Sequence[str]) -> str:
    lines = [*_docstring(record.doc), *variables, *map(_field, record.fields)]
    head = f"class {name}({base}, frozen=True, kw_only=True):\n"
    return head + "".join(f"    {line}\n" if line else "\n" for line in lines)


def _docstring(doc: str) -> Iterator[str]:
    """The `doc` of the schema, safe inside three quotes."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in doc).split()).replace('"""', "'''")
    if not words:
        return
    words = words if words[-1] in ".!?" else f"{words}."
    summary, _, rest = words.partition(". ")
    quotes = 'r"""' if "\\" in words else '"""'
    if len(words) <= 106 or not rest:
        yield f'{quotes}{words}"""'
    else:
        yield from (f"{quotes}{summary}.", "", *textwrap.wrap(rest, 112), '"""')
    yield ""


def _class_variables(file: SchemaFile, lock: Lock) -> Iterator[str]:
    if not file.is_row:
        yield f'event_type: ClassVar[str] = "{file.name}"'
        yield f'key_field: ClassVar[str] = "{file.record.key}"'
    now = fingerprint(file.text)
    texts = [v.text for v in released_of(lock, file.name) if v.fingerprint != now] + [file.text]
    yield "schemas: ClassVar[tuple[str, ...]] = ("
    yield from (f"    {text!r}," for text in texts)
    yield ")"
    yield ""


def _quoted(text: str) -> str:
    """A Python string in double quotes where that is safe."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)


def _field(field: Field) -> str:
    annotation = _annotation(field.type)
    return (
        f"{field.name}: {annotation}"
        if field.default is MISSING
        else (f"{field.name}: {annotation} = {_default(field.default, field.type)}")
    )


def _annotation(kind: AvroType) -> str:
    match kind.kind:
        case "string" | "bytes" | "int" | "float":
            plain = {"string": "str"}.get(kind.kind, kind.kind)
        case "long":
            plain = "int"
        case "double":
            plain = "float"
        case "boolean":
            plain = "bool"
        case "enum":
            plain = f"Literal[{', '.join(json.dumps(symbol) for symbol in kind.symbols)}]"
        case "array":
            assert kind.item is not None
            plain = f"tuple[{_annotation(kind.item)}, ...]"
        case "map":
            assert kind.item is not None
            plain = f"Mapping[str, {_annotation(kind.item)}]"
        case "record":
            plain = class_name(_short(kind.name))
        case _:
            plain = "datetime"
    return f"{plain} | None" if kind.nullable else plain


def _default(value: Any, kind: AvroType) -> str:
    """The Python expression of a JSON default."""
    if value is None or isinstance(value, bool):
        return repr(value)
    match kind.kind:
        case "string" | "enum":
            return _quoted(value)
        case "bytes":
            return repr(value.encode("latin-1"))
        case "float" | "double":
            return repr(float(value) + 0.0)
        case "timestamp-micros" | "timestamp-millis":
            return _time(value, 1 if kind.kind == "timestamp-micros" else 1000)
        case "array":
            return _tuple([_default(item, kind.item) for item in value if kind.item is not None])
        case "map":
            assert kind.item is not None
            pairs = ", ".join(f"{_quoted(name)}: {_default(value[name], kind.item)}" for name in sorted(value))
            return f"MappingProxyType({{{pairs}}})"
        case "record":
            return _record(value, kind)
        case _:
            return repr(value)


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _record(value: dict[str, Any], kind: AvroType) -> str:
    assert kind.record is not None
    given = [field for field in kind.record.fields if field.name in value]
    arguments = ", ".join(f"{field.name}={_default(value[field.name], field.type)}" for field in given)
    return f"{class_name(_short(kind.name))}({arguments})"


def _time(value: int, unit: int) -> str:
    time = EPOCH + timedelta(microseconds=value * unit)
    parts = [time.year, time.month, time.day, time.hour, time.minute, time.second, time.microsecond]
    while len(parts) > 3 and not parts[-1]:
        parts.pop()
    return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"
