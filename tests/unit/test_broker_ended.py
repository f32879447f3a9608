"""What is said of an embedded Kafka that ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.localbroker.embedded import _how_ended
from streams.localbroker.faults import full_disk, little_memory


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, "has ended with exit code 1"),
        (137, "was ended by SIGKILL"),
        (255, "has ended with exit code 255"),
        (128, "has ended with exit code 128"),
        (-9, "was ended by SIGKILL"),
    ],
)
def test_only_an_exit_code_of_a_signal_names_one(code: int, expected: str) -> None:
    """A negative one is the keeper's own; 129 to 192 is what a keeper says of its broker's; 255 is any failure."""
    assert _how_ended(code) == expected


def test_a_disk_that_is_full_is_named_and_another_one_is_not(tmp_path: Path) -> None:
    """Kafka's own words may not be in its log: that is on the same disk."""
    assert full_disk(tmp_path, least=0) == ""
    assert full_disk(tmp_path / "gone") == ""
    said = full_disk(tmp_path, least=1 << 62)
    assert said.startswith(f"The disk of {tmp_path} is full, with ")
    assert said.endswith(" KiB left: make room there first. ")


@pytest.mark.parametrize(
    "said",
    [
        "Could not allocate compressed class space: 1073741824 bytes",
        "java.io.IOException: Map failed",
        "Could not reserve enough space for 1048576KB object heap",
    ],
)
def test_too_little_memory_for_java_is_named(said: str) -> None:
    """As Java 21 said it under `ulimit -v` of 1.5 GB, of 3 GB, and of less."""
    assert little_memory(f"Error occurred during initialization of VM\n{said}").startswith("Java had too little memory: ")
    assert little_memory("java.net.BindException: Address already in use") == ""
