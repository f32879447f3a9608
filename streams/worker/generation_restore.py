"""What a restore does for rows of a generation that is not the current one: it folds what was handled since they were complete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import Message

from streams.engine.engine import Engine
from streams.engine.envelope import sequence_of
from streams.engine.fold import RowFold, refuse
from streams.engine.generations import CATCH_UP_LIMIT, BuiltTo, complete_to, corrected_to
from streams.engine.image import Image
from streams.engine.readable import named
from streams.errors import RowsNotBuilt
from streams.kafka.bounded_read import headers_of
from streams.worker.image_reader import ImageReader

SOME = 1_000
"""Events that are folded at once."""


class LastCorrection(NamedTuple):
    """The correction of the application that was begun last; number 0: there was none."""

    number: int = 0
    correction: str = ""
    by: str = ""


def rest_of(engine: Engine, image: Image, reading: ImageReader, code: str, last: LastCorrection) -> RowFold:
    """A fold of what comes behind the rows that were read. It goes on where an earlier one of this reading stood.

    `code` is a digest of the code that folds; empty: it is not known. Raises RowsNotBuilt if these rows were never built, or too
    long ago, or by other code, or from a past that was corrected since: that may have set no row of the generation before.
    """
    image.last_correction = last.number
    if reading.fold is None:
        complete = complete_to(image.complete, reading.built, engine.generation)
        _check(engine, image, complete, known=reading.built is not None or engine.generation in image.complete)
        if (built := _counted(engine, image, reading)) is not None:
            _refuse_other_code(engine, built.code, code)
        reading.fold = RowFold(engine, image.partition, image.rows, complete)
    else:
        _check(engine, image, reading.fold.sequence, known=True)
    built = _counted(engine, image, reading)
    image.code, image.code_since = ("", 0) if built is None else (built.code, 1)
    if corrected_to(image.corrections, reading.built, engine.generation) < last.number:
        _refuse_uncorrected(engine, image, last)
    return reading.fold


def _counted(engine: Engine, image: Image, reading: ImageReader) -> BuiltTo | None:
    """What was built, if it goes further than what workers of this generation have left."""
    built = reading.built
    return built if built is not None and built.sequence > image.complete.get(engine.generation, 0) else None


def is_all(rest: RowFold, messages: list[Message]) -> bool:
    """Whether these records of the log's end begin where the fold stands, or before."""
    first = next((it for it in messages if it.value() is not None), None)
    return first is not None and sequence_of(first.key() or b"") <= rest.sequence + 1


def fold_into(image: Image, rest: RowFold, messages: list[Message]) -> Iterator[None]:
    """Raises CodeChanged for an event that is decided otherwise; HistoryError where records are missing."""
    for number, message in enumerate(messages, 1):
        refuse(rest.take(message.value(), headers_of(message)))
        if number % SOME == 0:
            yield
    image.unwritten = dict(rest.changed)


def _refuse_other_code(engine: Engine, built_by: str, code: str) -> None:
    """As a builder does: what this code makes of the past is not what was built."""
    if code and built_by != code:
        raise RowsNotBuilt(
            f"the rows of generation {engine.generation} of {engine.namespace} were built by other code than this worker has, so "
            "they are not what its handlers make of the past. Deploy the code that built them; or give this one the generation "
            f"{engine.generation + 1}, run `retold rebuild start {engine.namespace}` with it, and deploy it then"
        )


def _refuse_uncorrected(engine: Engine, image: Image, last: LastCorrection) -> None:
    raise RowsNotBuilt(
        f"the rows of generation {engine.generation} of {engine.namespace} do not have the correction {last.correction} by "
        f"{named(last.by)}, which was begun later. {_build_them(engine, image)}"
    )


def _build_them(engine: Engine, image: Image) -> str:
    return (
        f"Run `retold rebuild start {engine.namespace}` with this code; workers of generation {image.generation} go on "
        "meanwhile"
    )


def _check(engine: Engine, image: Image, complete: int, *, known: bool) -> None:
    where, last = f"{engine.inbox.topic}-{image.partition}", image.sequence
    rows = f"rows of generation {engine.generation} of {engine.namespace}"
    then = _build_them(engine, image)
    if engine.generation in image.dropped:
        raise RowsNotBuilt(f"the {rows} were dropped for good: give this code a generation that there was not yet, and build it")
    if last > 0 and not known:
        raise RowsNotBuilt(
            f"the {rows} are not built, and {where} has handled {last} events with generation {image.generation}. {then}"
        )
    if last - complete > CATCH_UP_LIMIT:
        raise RowsNotBuilt(
            f"the {rows} have everything up to {where}:{complete}, and it has handled events up to {where}:{last}: a worker "
            f"folds at most {CATCH_UP_LIMIT:,} when it takes a partition over. {then}"
        )
