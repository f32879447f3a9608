"""Which code an application is: digests of the sources of its packages."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

from streams.app import App
from streams.codec import AvroCodec


def code_of(app: App, codec: AvroCodec) -> str:
    """What folds rows: a digest of the sources of the packages that the handlers are from, and of the schemas of rows."""
    modules = {function.__module__ for space in app.namespaces for function in space.handlers.values()}
    found = [digest_of_package(name) for name in sorted({package_of(module) for module in modules})]
    found += [str(codec.newest_id(space.row_type)) for space in app.namespaces]
    return hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]


def package_of(module: str) -> str:
    """The outermost package that a module is in; one that is a mere folder is none."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        if _file(name := ".".join(parts[:length])) is not None:
            return name
    return module


def _file(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


@cache
def digest_of_package(package: str) -> str:
    """Of all Python source of a package, or of a module."""
    file = _file(package)
    if file is None:
        return ""
    path = Path(file)
    files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for each in files:
        digest.update(each.read_bytes())
    return digest.hexdigest()
