"""What is said of an embedded Kafka that ended."""

from __future__ import annotations

import pytest

from streams.localbroker.embedded import _how_ended


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
