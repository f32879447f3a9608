"""Reading a projection directly from Kafka: its events' logs are folded, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.codec import AvroCodec
from streams.data import Record, namespace_of
from streams.engine.projector import Projector
from streams.engine.readable import in_a_line
from streams.engine.records import ACCEPTED
from streams.errors import DefinitionError
from streams.kafka.clients import Clients
from streams.kafka.messages import LogEvent
from streams.kafka.tables_and_logs import Tail
from streams.projection import Projection


@dataclass(frozen=True)
class ProjectionState:
    """`positions` has the last log sequence of each partition (namespace and number) that the rows include."""

    rows: Mapping[str, Record]
    positions: Mapping[tuple[str, int], int]


def read_projection(clients: Clients, prefix: str, projection: Projection[Any], codec: AvroCodec) -> ProjectionState:
    """The rows as of now: all events that it folds are read, and folded in the order of their recorded time.

    Raises DefinitionError if a fold raises, TopicMismatch if there is no such log, BrokerError.
    """
    spaces = sorted({namespace_of(data.event_type) for data in projection.folds_by})
    events, positions = list[LogEvent](), dict[tuple[str, int], int]()
    for event in Tail(clients, prefix, spaces, codec).beginning():
        positions[event.namespace, event.partition] = event.sequence
        if event.outcome == ACCEPTED and type(event.event.data) in projection.folds_by:
            events.append(event)
    events.sort(key=lambda event: (event.recorded, event.namespace, event.partition, event.sequence))
    projector = Projector([projection], codec)
    for event in events:
        try:
            projector.fold(event.event)
        except KeyboardInterrupt:  # Ctrl-C
            raise
        except BaseException as error:  # whatever the application's own function raises
            raise DefinitionError(
                f"the projection {projection.name} raised {in_a_line(error)} at {event.event.data.event_type}, "
                f"{event.namespace}-{event.partition}:{event.sequence}: correct it"
            ) from error
    return ProjectionState(projector.rows[projection.name], positions)
