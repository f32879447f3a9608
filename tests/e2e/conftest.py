"""What tests of whole commands share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def types_known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of mypy for all applications that are written: it looks at the types of retold once, and at theirs each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPY_CACHE_DIR", str(tmp_path_factory.mktemp("mypy")))
        yield
