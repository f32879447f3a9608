"""What the benchmark decides by itself, without a broker."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ops.bench.java_program import check


def test_a_jar_that_is_not_the_pinned_one_is_not_run(tmp_path: Path) -> None:
    """Another sum, one too many and one too few: each is named."""
    jar = tmp_path / "one.jar"
    jar.write_bytes(b"what was pinned")
    pinned = [f"{hashlib.sha256(b'what was pinned').hexdigest()}  one.jar"]
    check([jar], pinned)
    with pytest.raises(RuntimeError, match=r"two\.jar"):
        check([jar], [*pinned, f"{'0' * 64}  two.jar"])
    jar.write_bytes(b"something else")
    with pytest.raises(RuntimeError, match=r"one\.jar"):
        check([jar], pinned)
