from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PublishRequest(_message.Message):
    __slots__ = ("type", "data", "idempotency_key", "wait_seconds", "expected_version")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    type: str
    data: bytes
    idempotency_key: str
    wait_seconds: float
    expected_version: int
    def __init__(self, type: _Optional[str] = ..., data: _Optional[bytes] = ..., idempotency_key: _Optional[str] = ..., wait_seconds: _Optional[float] = ..., expected_version: _Optional[int] = ...) -> None: ...

class PublishReply(_message.Message):
    __slots__ = ("type", "key", "id", "namespace", "partition", "offset", "outcome", "reason", "duplicate", "position", "failure")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    type: str
    key: str
    id: str
    namespace: str
    partition: int
    offset: int
    outcome: str
    reason: str
    duplicate: bool
    position: str
    failure: Failure
    def __init__(self, type: _Optional[str] = ..., key: _Optional[str] = ..., id: _Optional[str] = ..., namespace: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., duplicate: _Optional[bool] = ..., position: _Optional[str] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "type", "field")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    type: str
    field: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., type: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("table", "key", "query")
    class QueryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: str
    query: _containers.ScalarMap[str, str]
    def __init__(self, table: _Optional[str] = ..., key: _Optional[str] = ..., query: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("key", "version", "row", "position")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    row: bytes
    position: str
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., row: _Optional[bytes] = ..., position: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("table", "query")
    class QueryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TABLE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    table: str
    query: _containers.ScalarMap[str, str]
    def __init__(self, table: _Optional[str] = ..., query: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListReply(_message.Message):
    __slots__ = ("rows", "next", "position", "count", "answer")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    next: str
    position: str
    count: int
    answer: bytes
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., next: _Optional[str] = ..., position: _Optional[str] = ..., count: _Optional[int] = ..., answer: _Optional[bytes] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("namespace", "query", "after")
    class QueryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    query: _containers.ScalarMap[str, str]
    after: str
    def __init__(self, namespace: _Optional[str] = ..., query: _Optional[_Mapping[str, str]] = ..., after: _Optional[str] = ...) -> None: ...

class LoggedEvent(_message.Message):
    __slots__ = ("place", "type", "key", "id", "position", "outcome", "reason", "data", "event")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    place: str
    type: str
    key: str
    id: str
    position: str
    outcome: str
    reason: str
    data: bytes
    event: bytes
    def __init__(self, place: _Optional[str] = ..., type: _Optional[str] = ..., key: _Optional[str] = ..., id: _Optional[str] = ..., position: _Optional[str] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., data: _Optional[bytes] = ..., event: _Optional[bytes] = ...) -> None: ...

class WatchRowsRequest(_message.Message):
    __slots__ = ("table", "key", "query", "after")
    class QueryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: str
    query: _containers.ScalarMap[str, str]
    after: str
    def __init__(self, table: _Optional[str] = ..., key: _Optional[str] = ..., query: _Optional[_Mapping[str, str]] = ..., after: _Optional[str] = ...) -> None: ...

class RowChange(_message.Message):
    __slots__ = ("kind", "key", "version", "row", "place", "problem")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PLACE: _ClassVar[RowChange.Kind]
        PUT: _ClassVar[RowChange.Kind]
        GONE: _ClassVar[RowChange.Kind]
        READY: _ClassVar[RowChange.Kind]
        RESET: _ClassVar[RowChange.Kind]
        UNREADABLE: _ClassVar[RowChange.Kind]
    PLACE: RowChange.Kind
    PUT: RowChange.Kind
    GONE: RowChange.Kind
    READY: RowChange.Kind
    RESET: RowChange.Kind
    UNREADABLE: RowChange.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    kind: RowChange.Kind
    key: str
    version: int
    row: bytes
    place: str
    problem: str
    def __init__(self, kind: _Optional[_Union[RowChange.Kind, str]] = ..., key: _Optional[str] = ..., version: _Optional[int] = ..., row: _Optional[bytes] = ..., place: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...
