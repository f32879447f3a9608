"""An example of a producer: `python -m processors.publish signups.tsv` publishes a file of sign-ups.

The command line can use `from_row` too, and adds a check of the whole file, a progress bar and a choice on errors:
`retold publish user.signup --from signups.tsv --with processors.publish:from_row`
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from processors import app
from processors.events import UserSignup
from streams import Client
from streams.errors import StreamsError


def from_row(row: Mapping[str, str]) -> tuple[UserSignup, datetime]:
    """The event of a row, and its time. The file's times are in UTC, without a zone; it has no addresses."""
    created = _utc(row["created"])
    signup = UserSignup(
        user=row["id"],
        email=f"{row['id']}@example.org",
        created=created,
        last_seen=_utc(row["last_seen"]) if row["last_seen"] else None,
        reputation=int(row["reputation"]),
        views=int(row["views"]),
        up_votes=int(row["up_votes"]),
        down_votes=int(row["down_votes"]),
    )
    return signup, created


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def main(path: Path) -> None:
    """Publish every row. Leaving the block waits until the broker has confirmed all of them.

    The id is the same in each run, so it is safe to run this again: nothing is handled twice. A user signs up once, so the
    user is enough for the id. If the same event may happen again, the id needs more: a number or a time.
    """
    count = 0
    with Client(app(), source="processors/publish") as client, path.open(encoding="utf-8", newline="") as file:
        for count, row in enumerate(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1):  # noqa: B007 - printed below
            signup, created = from_row(row)
            client.publish(signup, id=f"signup-{signup.user}", time=created)
    print(f"{count} sign-ups published")  # noqa: T201 - the output of a script


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m processors.publish FILE")
    try:
        main(Path(sys.argv[1]))
    except StreamsError as error:
        sys.exit(str(error))
