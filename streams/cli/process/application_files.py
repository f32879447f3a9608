"""Which Python files an application is made of: its module's and those of the project that it imports, without importing any."""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from streams.config import Config
from streams.syntax import parse

FRESH = 0.05
"""s: files are not looked at again within it, however many changes there are."""


class ApplicationFiles:
    """A file that was one of them stays one: while one cannot be read, in the midst of a change, nobody knows what it imports."""

    def __init__(self, config: Config) -> None:
        self._module = (config.app or "").partition(":")[0]
        self._roots = [config.project, config.project / "src"]
        if self._module:
            spec = PathFinder.find_spec(self._module.partition(".")[0], [str(config.project), *sys.path])
            places = [] if spec is None else [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
            found = {Path(place).parent for place in places} - {*self._roots}
            self._roots += [root for root in found if root.is_relative_to(config.project)]
        self._known: set[Path] = set()
        self._imports: dict[Path, tuple[int, list[str]]] = {}
        """By file: when it was modified, and what it imported then."""
        self._looked_at = -FRESH

    def has(self, file: Path) -> bool:
        """Of an application that nobody has named, or whose module is not found, all files may be."""
        if not self._module or file in self._known:
            return True
        if time.monotonic() - self._looked_at >= FRESH:
            self._known |= self._reached()
            self._looked_at = time.monotonic()
        return file in self._known or not self._known

    def _reached(self) -> set[Path]:
        found, left = set[Path](), [*self._files_of(self._module)]
        while left:
            file = left.pop()
            if file not in found:
                found.add(file)
                left += [each for name in self._imported(file) for each in self._files_of(name)]
        return found

    def _imported(self, file: Path) -> list[str]:
        try:
            modified = file.stat().st_mtime_ns
        except OSError:  # it was deleted meanwhile
            return []
        known = self._imports.get(file)
        if known is None or known[0] != modified:
            known = self._imports[file] = modified, [*_imported(file, self._package_of(file))]
        return known[1]

    def _files_of(self, name: str) -> Iterator[Path]:
        """Of a module and the packages that it is in, as far as they are in the project."""
        parts = name.split(".")
        for root in self._roots:
            for length in range(1, len(parts) + 1):
                place = root.joinpath(*parts[:length])
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())

    def _package_of(self, file: Path) -> list[str]:
        """The package that a file's relative imports begin at."""
        root = max((root for root in self._roots if file.is_relative_to(root)), key=lambda root: len(root.parts))
        return [*file.relative_to(root).parts[:-1]]


def _imported(file: Path, package: list[str]) -> Iterator[str]:
    """The names of modules that a file imports, wherever in it; and those of what it takes from them, which may be modules."""
    try:
        tree = parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            begin = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*begin, *([node.module] if node.module else [])])
            yield from (f"{module}.{each.name}".lstrip(".") for each in node.names)
