"""What the server asks the processes that answer with the application's own code, and what they answer: values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from streams.data import Record
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.correction.correction_plan import StoredChange
from streams.history.cut_past import Cut
from streams.kafka.corrections_topic import CorrectionState
from streams.query.filters import Filter
from streams.query.row_fields import fields_of
from streams.server.access.principal import Principal
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.store_readers import OpenedFile

StoredFilter = tuple[str, str, Any]
"""Field, operator, value."""


class TableStates(msgspec.Struct, frozen=True):
    """What the follower told of tables, as the attributes of ReadModel are called."""

    rebuilding: dict[str, int]
    reshaped: list[str]
    missing: list[str]
    stopped: dict[str, str]
    stuck: list[tuple[str, int, str]]
    unbuilt: dict[str, str]

    @classmethod
    def of(cls, model: ReadModel) -> TableStates:
        stuck = [(*partition, why) for partition, why in model.stuck.items()]
        return cls(
            dict(model.rebuilding), [*model.reshaped], [*model.missing], dict(model.stopped), stuck, dict(model.unbuilt)
        )

    def put_in(self, model: ReadModel) -> None:
        model.rebuilding, model.stopped, model.unbuilt = self.rebuilding, self.stopped, self.unbuilt
        model.reshaped, model.missing = frozenset(self.reshaped), frozenset(self.missing)
        model.stuck = {(namespace, part): why for namespace, part, why in self.stuck}


class ViewQuestion(msgspec.Struct, frozen=True, tag="view"):
    """What a view answers now. `only` has by table the conditions of the rows that are there for who asks."""

    path: str
    names: dict[str, str]
    only: dict[str, list[StoredFilter]]
    states: TableStates


class PastViewQuestion(msgspec.Struct, frozen=True, tag="past view"):
    """What it answered then."""

    path: str
    names: dict[str, str]
    cut: Cut


class PastRowQuestion(msgspec.Struct, frozen=True, tag="past row"):
    """A row of a namespace or a projection as it was."""

    table: str
    key: str
    cut: Cut


class PastRowsQuestion(msgspec.Struct, frozen=True, tag="past rows"):
    """A list of them. `pairs` and `accept` are the parameters of the address, and the header."""

    table: str
    pairs: list[tuple[str, str]]
    accept: list[str]
    cut: Cut


class BranchQuestion(msgspec.Struct, frozen=True, tag="branch"):
    """What would have been if. The document is JSON, as it came."""

    document: bytes


class EventStoryQuestion(msgspec.Struct, frozen=True, tag="event story"):
    """What led to an event, and what followed."""

    event: str
    depth: int


class RowStoryQuestion(msgspec.Struct, frozen=True, tag="row story"):
    """What led to a row."""

    namespace: str
    key: str
    depth: int
    last: int


class PlanQuestion(msgspec.Struct, frozen=True, tag="plan"):
    """What a correction would change. `document` is JSON, `begun` are those before it. Who corrects may do no more than it may."""

    document: bytes
    principal: Principal
    why: str
    begun: list[KnownCorrection]
    assume_answers: bool = False


class PlanAgainQuestion(msgspec.Struct, frozen=True, tag="plan again"):
    """What one would change by now that was planned before."""

    kept: CorrectionState
    begun: list[KnownCorrection]


class ChangedQuestion(msgspec.Struct, frozen=True, tag="changed"):
    """What a correction has changed; `before` are the changes of those before it."""

    correction: str
    before: list[StoredChange]
    change: StoredChange


Question = (
    ViewQuestion | PastViewQuestion | PastRowQuestion | PastRowsQuestion | BranchQuestion | EventStoryQuestion | RowStoryQuestion
    | PlanQuestion | PlanAgainQuestion | ChangedQuestion
)  # fmt: skip


class Asked(msgspec.Struct, frozen=True):
    """A question, and the file that it is answered from."""

    file: OpenedFile
    question: Question


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A problem, as `Problem` has it."""

    status: int
    detail: str
    field: str = ""
    kind: str = ""
    headers: dict[str, str] = {}
    members: dict[str, Any] = {}


class Untold(msgspec.Struct, frozen=True, tag="untold"):
    """Of an error of the class HistoryError: why the past cannot be told, and the status."""

    status: int
    why: str


class FileAway(msgspec.Struct, frozen=True, tag="away"):
    """The file cannot be read now; `why` is what SQLite says, None: it is not there."""

    why: str | None


class ViewFound(msgspec.Struct, frozen=True, tag="view"):
    """A view's answer as JSON, the tables that it asked for, and the positions of its moment.

    `refused` is why one of these could not be told: then there is no answer.
    """

    value: bytes
    asked: list[str]
    positions: list[tuple[str, int, int]]
    refused: Refused | None = None


class PastFound(msgspec.Struct, frozen=True, tag="past"):
    """The body of an answer about the past, in the form that was asked for; None: there is no such row.

    `held` is what is held back of it, `next` the cursor of the next page, `unreadable` how many rows cannot be told.
    """

    content: bytes | None
    cut: Cut
    held: dict[str, Any] | None = None
    next: str | None = None
    unreadable: int = 0


class AnswerBody(msgspec.Struct, frozen=True, tag="told"):
    """The body of an answer."""

    content: bytes


Found = ViewFound | PastFound | AnswerBody
F = TypeVar("F", ViewFound, PastFound, AnswerBody)
encode = msgspec.msgpack.encode
decode_asked = msgspec.msgpack.Decoder(Asked).decode
decode_found = msgspec.msgpack.Decoder(Found | Refused | Untold | FileAway).decode


def stored_filters(only: Mapping[str, Sequence[Filter]]) -> dict[str, list[StoredFilter]]:
    return {table: [(it.field.name, it.operator, it.value) for it in filters] for table, filters in only.items()}


def read_filters(
    stored: Mapping[str, Sequence[StoredFilter]], types: Mapping[str, type[Record]]
) -> dict[str, Sequence[Filter]]:
    return {table: [_filter(types[table], *it) for it in filters] for table, filters in stored.items()}


def _filter(row_type: type[Record], field: str, operator: str, value: Any) -> Filter:
    """`in` and `notin` have several values, which come back as a list."""
    return Filter(fields_of(row_type)[field], operator, tuple(value) if isinstance(value, list) else value)
