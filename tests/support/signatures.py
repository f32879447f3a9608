"""What the pages of the Python reference show of a class or a function, for who reads them as files: its signatures.

`python -m tests.support.signatures` writes them into the pages. The site shows more at the same places, from the docstrings.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ForwardRef

PAGES = Path(__file__).parents[2] / "docs" / "reference"
DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)
SHOWN = re.compile(r"(?:```text signatures\n.*?```\n\n)?^::: (\S+)$", re.MULTILINE | re.DOTALL)
WIDEST, LONGEST = 120, 40


def page_with_signatures(text: str) -> str:
    """The page as it should be."""
    return SHOWN.sub(lambda found: f"```text signatures\n{chr(10).join(lines_of(found[1]))}\n```\n\n::: {found[1]}", text)


def lines_of(path: str) -> list[str]:
    found = _found(path)
    if isinstance(found, ModuleType):
        return [*_tree(found)]
    return [*_class_lines(found)] if isinstance(found, type) else [*_fitted(found.__name__, inspect.signature(found), "")]


def _found(path: str) -> Any:
    parent, _, name = path.rpartition(".")
    try:
        return getattr(import_module(parent), name)
    except AttributeError:
        return import_module(path)


def _class_lines(cls: type) -> Iterator[str]:
    if issubclass(cls, Mapping) and "__init__" not in vars(cls):
        yield f"{cls.__name__}: a Mapping"
    else:
        yield from _fitted(cls.__name__, _as_written(cls), "", makes=True)
    for name, value in _members(cls).items():
        if isinstance(value, property | cached_property):
            getter: Any = value.fget if isinstance(value, property) else value.func
            yield f"    .{name} -> {_plain(inspect.signature(getter).return_annotation)}"
        elif inspect.isfunction(value) or isinstance(value, classmethod):
            yield from _fitted(f".{name}", inspect.signature(getattr(cls, name)), "    ")


def _members(cls: type) -> Mapping[str, Any]:
    """Public ones, also of classes of ours that it extends."""
    ours = [each for each in cls.__mro__ if each.__module__.startswith("streams.")]
    return {name: value for each in reversed(ours) for name, value in vars(each).items() if not name.startswith("_")}


def _as_written(cls: type) -> inspect.Signature:
    """With the types of its fields as the source has them, where it is made of these."""
    written = {name: value for each in reversed(cls.__mro__) for name, value in inspect.get_annotations(each).items()}
    signature = inspect.signature(cls)
    if "__init__" in vars(cls) and "__dataclass_fields__" not in vars(cls):
        return signature
    known = [it.replace(annotation=written.get(name, it.annotation)) for name, it in signature.parameters.items()]
    return signature.replace(parameters=known)


def _fitted(name: str, signature: inspect.Signature, indent: str, *, makes: bool = False) -> Iterator[str]:
    """On one line, or each parameter on a line of its own."""
    parts = [*_parameters(signature)]
    gives = "" if makes or signature.return_annotation is signature.empty else f" -> {_plain(signature.return_annotation)}"
    if makes and not parts:
        yield name
        return
    line = f"{indent}{name}({', '.join(parts)}){gives}"
    if len(line) <= WIDEST:
        yield line
        return
    yield f"{indent}{name}("
    yield from (f"{indent}    {part}," for part in parts)
    yield f"{indent}){gives}"


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    only_named = False
    for name, it in signature.parameters.items():
        if name == "self":
            continue
        if it.kind is it.KEYWORD_ONLY and not only_named:
            only_named = True
            yield "*"
        stars = {it.VAR_POSITIONAL: "*", it.VAR_KEYWORD: "**"}.get(it.kind, "")
        only_named = only_named or bool(stars)
        typed = "" if it.annotation is it.empty else f": {_plain(it.annotation)}"
        default = "" if it.default is it.empty else f"{' = ' if typed else '='}{_default(it.default)}"
        yield f"{stars}{name}{typed}{default}"


def _plain(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _default(value: object) -> str:
    shown = repr(value)
    return "…" if len(shown) > LONGEST or shown.startswith("<") else shown


def _tree(module: ModuleType) -> Iterator[str]:
    """The errors of a module, each below what it is one of."""
    classes = [it for it in vars(module).values() if isinstance(it, type) and it.__module__ == module.__name__]
    own = [it for it in classes if issubclass(it, Exception)]

    def below(parent: type | None, depth: int) -> Iterator[str]:
        for it in own:
            if next((base for base in it.__mro__[1:] if base in own), None) is parent:
                yield f"{'    ' * depth}{it.__name__}"
                yield from below(it, depth + 1)

    yield from below(None, 0)


if __name__ == "__main__":
    for page in PAGES.glob("*.md"):
        page.write_text(page_with_signatures(page.read_text(encoding="utf-8")), encoding="utf-8")
