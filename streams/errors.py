"""The tree of errors that retold raises. Catch `StreamsError` for all of them.

```
StreamsError                       HTTP status, if it is none of 500
├── ConfigError                    a setting, a file or a folder is not usable
├── DefinitionError                the application is not defined as it must be
│   ├── BadName
│   ├── DuplicateHandler
│   ├── UndeclaredEmission
│   ├── ImpureHandler
│   └── StaleTypes
├── SchemaError                    something about an Avro schema
│   ├── InvalidSchema
│   ├── IncompatibleSchema
│   ├── FrozenSchemaChanged
│   ├── UnsupportedSchema
│   │   └── SchemaNotFound
│   └── UndecodableRecord
├── InvalidEvent              422  an event that may not be published or handled as it is
├── InvalidQuery              422  a question that a table has no answer to: a field, an operator, a value, an order
├── EventRejected             409  the handler rejected the event
│   └── WrongVersion          412  the row was not at the version that the publisher expected
├── EventSetAside                  the event was parked or quarantined
├── OutcomeTimeout            504  nothing is known yet; the event may still be handled
├── BrokerError               503  Kafka refused, or what it holds is not what it should be
│   ├── BrokerUnavailable
│   ├── TopicMismatch
│   ├── NamespaceTaken
│   └── PartitionLost
├── ClientClosed                   a client was used after its block, after it was closed, or after a fork
├── NamespaceStopped               a worker stopped a namespace rather than do harm
│   └── HandlerTimeout             a handler did not return in time
└── HistoryError                   the recorded past cannot be read, or be folded with this code
    ├── BeforeHistory         410  it rests on an event that was erased, or is not kept
    ├── CodeChanged           409  a handler now rejects, or fails at, what was accepted, so this code cannot tell a row
    ├── RowsNotBuilt               a generation of rows was not built, or not far enough for a worker to go on with it
    ├── InvalidChange         422  a change of the past that cannot be made, such as to take out what a handler emitted
    ├── EffectBeforeCause     409  an event that would have to be otherwise was recorded before its cause, by a clock that was ahead
    ├── StalePlan             409  a plan of a correction that was edited, or is of another log
    ├── TooBusy               503  a row that always moves before a correction comes to it
    ├── NoSuchEvent           404  the recorded past has no such event or row
    ├── NotKnownYet           503  it may still be joined by more
    └── TooMuch               422  more events would have to be read than a server reads for an answer
```

A message says what happened, which value, what was expected, where, and what to do next. It is shown without a traceback,
which is for faults of retold's own.

Not in the tree:

- `streams.Rejected` is what a handler raises. It is an answer and no error; a publisher that waits gets it as EventRejected.
- Errors that retold catches itself, so that no caller meets them, are defined where they are raised: `TransactionAborted`,
  `ProducerLost`, `RecordRefused` and `UnmappedOption` in `streams/kafka`, `Problem` (an HTTP answer), `StoreAway` and
  `StoreDoubt` (of its file), `QueryTooSlow`, `PageRefused`, `OtherRequest`, `KeyHeld`, and `AnswerLost`, `AnswerTooSlow`,
  `ForkerEnded` and `ProcessLeft` (of processes that answer questions) in `streams/server`,
  `OutputClosed`, `OutputFailed` and `WrongUsage` in `streams/cli`,
  `MalformedRecord`, `UnreadableLine` and `LineTooLong` in `streams/eventfiles`,
  `Uncommon` in `streams/schemas`. `TryAgain` and `NoSuchTopic` in `streams/kafka` tell that package which BrokerError it has;
  for anyone else they are BrokerErrors.
  `PredicateFailed` in `streams/history` becomes a HistoryError that names the event, and `HandlerExit` stands for a
  handler that would end the process. `PortTaken` in `streams/listening.py` is a ConfigError for anyone else, and
  `UntoldPast` in `streams/server` a HistoryError.
  `IllegalTransition` in `streams/worker` is a fault of retold's own, `Expired` there ends a call whose time is over, and
  `BatchFull` in `streams/engine` ends a batch.
- What `retold check` finds are values and no exceptions: `streams.checks.Breach`.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from typing import TypeVar

E = TypeVar("E", bound=BaseException)

UNREADABLE_JSON = (ValueError, RecursionError)
"""What a decoder of msgspec raises: its own errors, the one for a text that is not UTF-8 (both are ValueErrors), and the one for
what is nested too deeply."""


class StreamsError(Exception):
    """Base of the tree. `status` is the HTTP status that a server answers with, 500 unless a class says otherwise."""

    status = 500


class ConfigError(StreamsError):
    """A setting, an option, a file or a folder is not usable. The message names it, its value and what was expected."""


class DefinitionError(StreamsError):
    """The application is not defined as it must be. Most are raised when it is imported, the others by an event."""


class BadName(DefinitionError):
    """An application, a namespace, a projection or an event has a name that it may not have."""


class DuplicateHandler(DefinitionError):
    """One event would be handled in two ways, or two tables would have one name."""


class UndeclaredEmission(DefinitionError):
    """A handler emitted an event that its `emits` does not declare. The event that it handled is parked."""


class ImpureHandler(DefinitionError):
    """In the purity run of `streams.testing`, a handler asked for the time, for chance or for the network."""


class StaleTypes(DefinitionError):
    """A generated class and its schema differ: run `retold schemas generate`."""


class SchemaError(StreamsError):
    """Base of all that concerns Avro schemas, and bytes that do not fit them."""


class InvalidSchema(SchemaError):
    """A text that is no Avro schema, or one that uses what retold does not support.

    Attributes:
        field: The name nearest to the mistake, empty if there is none.

    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class IncompatibleSchema(SchemaError):
    """A new version of a schema does not follow the released ones: its number, or fields that cannot be read across them."""


class FrozenSchemaChanged(SchemaError):
    """The file of a released schema was changed, or is gone. A release never changes: write a new version."""


class UnsupportedSchema(SchemaError):
    """This application cannot read a record of this schema: it has no handler for it, or not the version. The partition blocks.

    Attributes:
        schema_id: The id that the record names; 0 if the message is about none.

    """

    def __init__(self, message: str, schema_id: int = 0) -> None:
        super().__init__(message)
        self.schema_id = schema_id


class SchemaNotFound(UnsupportedSchema):
    """No schema with the record's schema id is known here: neither in this application nor in the topic of schemas."""


class UndecodableRecord(SchemaError):
    """The bytes of a record do not read as what its schema id says. A worker quarantines it."""


class InvalidEvent(StreamsError):
    """An event that may not be published or handled as it is: a field, its key, its size, its headers.

    Attributes:
        field: The path of the wrong field (`lines.1.sku`), empty if the mistake is in none.

    """

    status = 422

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidQuery(StreamsError):
    """A question that a table has no answer to: no such field, a value of another type, an order that there is not.

    Attributes:
        field: The filter or parameter that is wrong (`total__gte`).
        problem: The name of the kind of problem, such as `unknown-field`; a server has a page about each.

    """

    status = 422

    def __init__(self, message: str, field: str = "", problem: str = "wrong-value") -> None:
        super().__init__(message)
        self.field, self.problem = field, problem


class EventRejected(StreamsError):
    """The handler rejected the event, with the reason in the message. The row is as it was, and the log says so."""

    status = 409


class WrongVersion(EventRejected):
    """The row was not at the `expected_version` that the publisher named. Read the row and decide again."""

    status = 412


class EventSetAside(StreamsError):
    """The event was parked or quarantined: it is kept, and an operator decides. `retold parked list` shows it."""


class OutcomeTimeout(StreamsError):
    """The outcome is not known in the time given. The event may still be handled; publish it again under the same id."""

    status = 504


class ClientClosed(StreamsError):
    """A client was used after its block, after it was closed, or in a process that was forked later: make a new one."""


class BrokerError(StreamsError):
    """Kafka refused something, or did not do it in the time given."""

    status = 503


class BrokerUnavailable(BrokerError):
    """No Kafka answers at the address, or none could be started."""


class TopicMismatch(BrokerError):
    """A topic is not what it should be: its partitions, its settings, or what is written in it."""


class NamespaceTaken(BrokerError):
    """Another application has written into the tables of this namespace: choose another name or prefix."""


class PartitionLost(BrokerError):
    """Work for a partition was given up: the group took the partition away, or the worker stops."""


class NamespaceStopped(StreamsError):
    """A worker stopped a namespace rather than do harm: its handlers raise for many keys, or another worker has its name."""


class HandlerTimeout(NamespaceStopped):
    """A handler did not return in time. Its process ends, and at the second time its event is parked without calling it again."""


class HistoryError(StreamsError):
    """The recorded past cannot be read, or not be told by this code."""


class RowsNotBuilt(HistoryError):
    """A generation of rows was not built, or not far enough for a worker to go on with it."""


class BeforeHistory(HistoryError):
    """What is asked for rests on an event that is gone: an operator has erased it."""

    status = 410


class CodeChanged(HistoryError):
    """A handler now rejects, or fails at, an event that was accepted, or is gone: this code cannot tell the event's row.

    Attributes:
        why: What happened, without the way out, which the message has too.

    """

    status = 409

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}. The version that handled it tells it: export the past (`retold history --export FILE`), and ask that file "
            "there, with --history FILE"
        )
        self.why = why


class InvalidChange(HistoryError):
    """A change of the past that cannot be made: it names an event that another one led to, or replaces one by another key's."""

    status = 422


class EffectBeforeCause(HistoryError):
    """An event was recorded before its cause, since a worker's clock was ahead, and would have to be otherwise."""

    status = 409


class StalePlan(HistoryError):
    """A plan of a correction that is not one of this past: of another log, or not as it was written."""

    status = 409


class TooBusy(HistoryError):
    """A row that always moves before a correction comes to it."""

    status = 503


class NoSuchEvent(HistoryError):
    """The recorded past has no such event or row, or more than one."""

    status = 404


class NotKnownYet(HistoryError):
    """What was recorded by the time asked for may still be joined by more."""

    status = 503


class TooMuch(HistoryError):
    """An answer that needs more events than may be read for one."""

    status = 422


class RowsLeftOut(UserWarning):
    """A warning and no error: a table of the past was read whole, and rows that cannot be told are not in it."""


def unwritable_state(folder: object, error: OSError) -> ConfigError:
    """What to say of a state folder that cannot be written."""
    return ConfigError(
        f"the state folder {folder} cannot be written ({error.strerror or error}); retold keeps its locks, notes and its Kafka's "
        "data there. Make it writable, or set RETOLD_STATE to a folder of your own"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean user?)``, or nothing if no known name is near."""
    close = difflib.get_close_matches(name[:100], list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def how_ended(code: int) -> str:
    """The rest of a sentence about a process, by its exit code, or the negative number of the signal that ended it."""
    if code >= 0:
        return f"has ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}"


def without_frames(error: E) -> E:
    """The same error, with what it came from, as if it was not raised yet: for who keeps it, or raises it once more.

    One that was raised holds the frames that it came through. They hold what was in use there, and all frames that had called them:
    rows of a partition, or Kafka's clients.
    """
    again = type(error).__new__(type(error), *error.args)
    again.__dict__.update(error.__dict__)
    if error.__cause__ is not None:
        again.__cause__ = error.__cause__
    left, seen = [error.__cause__], set[int]()
    while left:
        it = left.pop()
        if it is not None and id(it) not in seen:
            seen.add(id(it))
            it.__traceback__ = None
            left += [it.__cause__, it.__context__]
    return again
