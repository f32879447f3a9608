"""Answers: JSON of rows and events, the position of an answer, and its lag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.data import EventData
from streams.errors import StreamsError
from streams.history.recorded_event import NamespacePartition
from streams.query.query import Query
from streams.server.http.parts import ServerParts
from streams.server.http.problems import RETRY_AFTER, STOPS, Problem
from streams.server.readmodel.model import ReadModel, RemadeTables
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_moment import StoreMoment

POSITION = re.compile(r"([a-z][a-z0-9_]{0,62})-(\d{1,6}):(\d{1,18})")
OPAQUE_TAG = re.compile(r'"[^"]*"')
"""An ETag without its W/: If-None-Match compares weakly. It may hold commas."""
SHOWN = 100
"""The most positions in a header; an answer about more partitions has them in its body only."""
POSITION_TIMEOUT = 5.0
"""s that an answer waits for `_min_position`."""


@dataclass(frozen=True)
class AnswerPosition:
    """The position of an answer: by partition, the log sequence up to which the topics that it uses were read.

    `lag` is None while it is not known.
    """

    positions: Mapping[NamespacePartition, int]
    lag: int | None
    rebuilding: Mapping[str, int] = field(default_factory=dict)
    """Tables that it was made from and that are made again, and how many percent of each are done."""
    uncorrected: Sequence[str] = ()
    """Projections that it was made from and that do not follow the corrections of the past."""

    @property
    def texts(self) -> list[str]:
        """Such as `user-3:977`: partition 3 of user, up to log sequence 977."""
        return [f"{namespace}-{number}:{sequence}" for (namespace, number), sequence in self.positions.items()]

    @property
    def headers(self) -> dict[str, str]:
        texts = self.texts
        shown = {"Retold-Position": ", ".join(texts)} if 0 < len(texts) <= SHOWN else {}
        if self.rebuilding:
            shown["Retold-Rebuilding"] = ", ".join(f"{name} {percent}%" for name, percent in self.rebuilding.items())
        if self.uncorrected:
            shown["Retold-Uncorrected"] = ", ".join(self.uncorrected)
        return shown | {"Retold-Lag": "unknown" if self.lag is None else str(self.lag)}

    def of_tables(self, remade: RemadeTables, names: Iterable[str]) -> AnswerPosition:
        """With what is said of these tables: one into which nothing is folded for a while is at an older position.

        `remade` is to be taken before what is answered is read: later, it may be that of other rows.
        """
        asked = list(names)
        found = {name: remade.rebuilding[name] for name in asked if name in remade.rebuilding} if remade.rebuilding else {}
        uncorrected = [name for name in asked if name in remade.uncorrected]
        held = [remade.held[name] for name in found if name in remade.held]
        if not held:
            return replace(self, rebuilding=found, uncorrected=uncorrected)
        positions = {at: min([reached, *(it.get(f"{at[0]}-{at[1]}", 0) for it in held)]) for at, reached in self.positions.items()}
        later = sum(self.positions.values()) - sum(positions.values())
        return AnswerPosition(positions, None if self.lag is None else self.lag + later, found, uncorrected)


def standing_at(
    model: ReadModel, moment: StoreMoment, kinds: Sequence[str], partitions: Sequence[NamespacePartition]
) -> AnswerPosition:
    """The position of what is read in this moment."""
    positions = {partition: moment.position(kinds, partition) for partition in partitions}
    return AnswerPosition(positions, model.lag(kinds, partitions))


def standing(model: ReadModel, kinds: Sequence[str], partitions: Sequence[NamespacePartition]) -> AnswerPosition:
    """The position of what is read after this."""
    return AnswerPosition({partition: position(model, kinds, partition) for partition in partitions}, model.lag(kinds, partitions))


def position(model: ReadModel, kinds: Iterable[str], partition: NamespacePartition) -> int:
    """The smallest position of these kinds of topics."""
    reached = {"table": model.table_position, "log": model.log_position}
    return min(reached[kind](partition) for kind in kinds)


def ready(parts: ServerParts) -> ReadModel:
    """The model. Raises a 503 problem until it can answer."""
    _check(parts.model)
    return parts.model


def up_to_date(parts: ServerParts) -> ReadModel:
    """The model. Raises a 503 problem until it has everything that there was when it began to follow."""
    model = ready(parts)
    if model.behind is not None:
        raise Problem(503, model.behind, headers=RETRY_AFTER)
    return model


def _check(model: ReadModel) -> None:
    if model.waits is not None:
        raise Problem(503, model.waits, headers=RETRY_AFTER)


async def at_least(request: Request, model: ReadModel, kinds: Sequence[str], names: Sequence[str] = ()) -> None:
    """Wait for `_min_position` (such as `user-3:977`; several with commas), so that a client reads its own writes.

    `names` are the projections that are asked for: one may stand still while it is folded again.
    Raises a 503 problem if it is not reached in 5 s, or before the server stops.
    """
    text = request.query_params.get("_min_position")
    if text is None:
        return
    wanted = [_wanted(model, part.strip()) for part in text.split(",")]
    reached = await until(
        model.notifier,
        lambda: all(_reached(model, kinds, partition, names) >= sequence for partition, sequence in wanted) or None,
        POSITION_TIMEOUT,
    )
    if reached is None and model.notifier.ended:
        detail = f"{STOPS}; _min_position {text} is not reached"
        raise Problem(503, detail, field="_min_position", kind="not-reached", headers=RETRY_AFTER)
    if reached is None:
        now = ", ".join(f"{part[0]}-{part[1]}:{_reached(model, kinds, part, names)}" for part, _ in wanted)
        more = [f". {name} is folded again, {model.rebuilding.get(name, 0)} % are done" for name in names if name in model.held]
        if not more and model.lag(kinds, [partition for partition, _ in wanted]) == 0:
            more = [", where the log ends as far as it knows: the position may be of another cluster, or of a log before this one"]
        raise Problem(
            503, f"_min_position {text} is not reached after {POSITION_TIMEOUT:.0f} s; this server stands at {now}{''.join(more)}",
            field="_min_position", kind="not-reached", headers=RETRY_AFTER,
        )  # fmt: skip
    _check(model)  # the model may have been reset meanwhile


def _reached(model: ReadModel, kinds: Sequence[str], partition: NamespacePartition, names: Sequence[str]) -> int:
    held = [model.held[name].get(f"{partition[0]}-{partition[1]}", 0) for name in names if name in model.held]
    return min([position(model, kinds, partition), *held])


def _wanted(model: ReadModel, text: str) -> tuple[NamespacePartition, int]:
    match = POSITION.fullmatch(text)
    if match is None or int(match[2]) >= model.counts.get(match[1], 0):
        expected = "a position such as user-3:977 of a partition that there is"
        raise Problem(422, f"_min_position is {text[:100]!r}; {expected} was expected", field="_min_position")
    return (match[1], int(match[2])), int(match[3])


def refuse_lacking(
    model: ReadModel, moment: StoreMoment, name: str, table: str, query: Query, at: AnswerPosition
) -> None:
    """Raises a 503 problem for a field that the rows there are do not have: those of the present schema are being made."""
    if name not in model.reshaped:
        return
    used = query.used_fields
    lacking = moment.lacks(table, [column for column in model.columns[name] if column.field in used])
    if lacking := [*lacking, *(each for each, field in used.items() if not field.is_scalar)]:
        what = ", ".join(lacking)
        raise Problem(
            503, f"the rows of {name} are made again for their present schema; until then they are not to be found or sorted by "
            f"{what}", field=lacking[0], headers={**RETRY_AFTER, **at.headers},
        )  # fmt: skip


def latest(body: Any) -> Response:
    """JSON that is looked at anew for each request, and says no position."""
    return Response(to_json(body), media_type="application/json", headers={"Cache-Control": "no-cache"})


def decoded(parts: ServerParts, value: bytes) -> EventData | None:
    """An event in the wire format; None where it does not read here."""
    with suppress(StreamsError):
        return parts.codec.decode(value)
    return None


def answer(request: Request, body: Any, at: AnswerPosition, *, etag: str | None = None) -> Response:
    """JSON: 200, or 304 if the client has this answer already. Without an `etag` it is a hash of the body."""
    return answer_bytes(request, to_json(body), at, etag=etag)


def answer_bytes(
    request: Request, content: bytes, at: AnswerPosition, *, etag: str | None = None, media_type: str = "application/json",
    more: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """The same of any form, with `more` headers."""
    tag = etag or f'W/"{blake2b(content, digest_size=9).hexdigest()}"'
    headers = {**at.headers, "ETag": tag, "Cache-Control": "no-cache", **(more or {})}
    known = ",".join(request.headers.getlist("if-none-match"))
    if known.strip() == "*" or tag.removeprefix("W/") in OPAQUE_TAG.findall(known):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
