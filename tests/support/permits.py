"""The real events of permits, as the file has them: in the order of their times."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

from streams.data import EventData
from tests.applications.permits.events import PermitReceive, PermitStep

FILE = Path(__file__).parents[1] / "data" / "permits.tsv.gz"
COUNT = 8_577
RECEIPT = "receipt"


@cache
def cases() -> list[list[tuple[EventData, datetime]]]:
    """The events of each case, which has at least one; the cases in the order in which they were received."""
    found: dict[str, list[tuple[EventData, datetime]]] = {}
    for data, time in history():
        found.setdefault(data.key, []).append((data, time))
    return list(found.values())


def history() -> Iterator[tuple[EventData, datetime]]:
    """Each event with its time, in UTC."""
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            time = datetime.fromisoformat(row["time"])
            if row["activity"] == RECEIPT:
                yield PermitReceive(permit=row["case"], channel=row["channel"], by=row["resource"]), time
            else:
                yield PermitStep(permit=row["case"], step=row["activity"], by=row["resource"]), time
