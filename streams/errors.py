"""Every error that retold raises on purpose, as one tree.

StreamsError
├── ConfigError                    a setting, a file or a folder is not usable
├── DefinitionError                the application breaks a law (found at import or by `retold check`)
│   ├── DuplicateHandler  MissingHandler  MissingSchema  BadName
│   └── UndeclaredEmission  StaleTypes  ImpureHandler  BadSignature
├── SchemaError
│   ├── SchemaNotFound             a record's schema id is known to nobody here
│   ├── InvalidSchema  IncompatibleSchema  FrozenSchemaChanged
│   └── UndecodableRecord          the bytes do not read as what they say they are
├── InvalidEvent              422  an event that may not be published or handled as it is
├── EventRejected             409  the handler said no
│   └── WrongVersion          412  the row was not at the version that the publisher expected
├── EventSetAside             500  the event was parked or quarantined
├── OutcomeTimeout            504  no outcome in the time given; the event may still be handled
├── BrokerError               503
│   ├── BrokerUnavailable  NamespaceTaken  TopicMismatch
│   └── PartitionLost
├── NamespaceStopped               a worker gave a namespace up rather than do harm
└── HistoryError                   a question to the past that has no answer

A message says what happened, which value, what was expected, where, and what to do next. It is shown to people as it is;
a stack trace is for a fault of retold's own.
"""

from __future__ import annotations

import signal


class StreamsError(Exception):
    """Base of the tree. `status` is the HTTP status that a server answers with."""

    status = 500


class ConfigError(StreamsError):
    pass


class DefinitionError(StreamsError):
    pass


class DuplicateHandler(DefinitionError):
    pass


class MissingHandler(DefinitionError):
    pass


class MissingSchema(DefinitionError):
    pass


class BadName(DefinitionError):
    pass


class UndeclaredEmission(DefinitionError):
    pass


class StaleTypes(DefinitionError):
    pass


class ImpureHandler(DefinitionError):
    pass


class BadSignature(DefinitionError):
    pass


class SchemaError(StreamsError):
    pass


class SchemaNotFound(SchemaError):
    """`schema_id` is the id that nobody here knows."""

    def __init__(self, message: str, schema_id: int = 0) -> None:
        super().__init__(message)
        self.schema_id = schema_id


class InvalidSchema(SchemaError):
    """No Avro schema, or one that uses what retold does not. `field` is the name nearest to the mistake."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class IncompatibleSchema(SchemaError):
    pass


class FrozenSchemaChanged(SchemaError):
    pass


class UndecodableRecord(SchemaError):
    pass


class InvalidEvent(StreamsError):
    """`field` is the path of the field that is wrong (`lines.1.sku`), empty if the mistake is none of a field."""

    status = 422

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class EventRejected(StreamsError):
    status = 409


class WrongVersion(EventRejected):
    status = 412


class EventSetAside(StreamsError):
    pass


class OutcomeTimeout(StreamsError):
    status = 504


class BrokerError(StreamsError):
    status = 503


class BrokerUnavailable(BrokerError):
    pass


class NamespaceTaken(BrokerError):
    pass


class TopicMismatch(BrokerError):
    pass


class PartitionLost(BrokerError):
    pass


class NamespaceStopped(StreamsError):
    pass


class HistoryError(StreamsError):
    pass


def how_ended(code: int) -> str:
    """The rest of a sentence about a process, by its exit code, or the negative number of the signal that ended it."""
    if code >= 0:
        return f"has ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}"
