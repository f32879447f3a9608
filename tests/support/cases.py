"""How many random cases the tests of a law try."""

from __future__ import annotations

import os
from typing import Final

TIMES: Final = int(os.environ.get("LAW_CASES", "1"))


def cases(number: int) -> int:
    """So many, and LAW_CASES times as many where that is set."""
    return number * TIMES
