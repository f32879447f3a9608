"""Times of events: datetimes with a zone, µs since 1970 and ISO 8601."""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from functools import lru_cache

from streams.errors import InvalidEvent

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def checked_time(what: str, time: object, hint: str = "") -> datetime:
    """The time, if it is a datetime with a zone and of the years 1 to 9999 in UTC: any other one is written and never read.

    Raises InvalidEvent; `what` begins its sentence, and `hint` says more about a missing zone.
    """
    if type(time) is datetime and time.tzinfo is UTC:  # as most are: nothing can be wrong with it
        return time
    if not isinstance(time, datetime):
        raise InvalidEvent(f"{what} {time!r:.100}; expected a datetime with a time zone", "time")
    shown = time.replace(tzinfo=None)
    try:
        if time.utcoffset() is None:
            raise InvalidEvent(f"{what} {shown}, which has no time zone{hint}", "time")
        time.astimezone(UTC)
    except InvalidEvent:
        raise
    except OverflowError:
        years = f"expected one of the years {MINYEAR} to {MAXYEAR} in UTC"
        raise InvalidEvent(f"{what} {time}; {years}", "time") from None
    except Exception as error:  # a zone is anybody's class
        raise InvalidEvent(f"{what} {shown}, whose time zone fails with {type(error).__name__}: {error}", "time") from error
    return time


def to_micros(time: datetime) -> int:
    """µs since 1970, exact (a float would lose the last digits)."""
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def iso_text(time: datetime) -> str:
    """`datetime.isoformat(time)`, which takes most of its time for the zone; most times are in UTC."""
    return iso_text_of(to_micros(time)) if time.tzinfo is UTC else datetime.isoformat(time)


def iso_text_of(micros: int) -> str:
    """`from_micros(micros).isoformat()`, for times of which many are of one second."""
    second, fraction = divmod(micros, 1_000_000)
    return f"{_iso_second(second)}.{fraction:06d}+00:00" if fraction else f"{_iso_second(second)}+00:00"


@lru_cache(64)
def _iso_second(second: int) -> str:
    return from_micros(second * 1_000_000).isoformat()[:-6]
