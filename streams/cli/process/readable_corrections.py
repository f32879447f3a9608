"""The corrections of an application, with the schemas of their events: code that is older than one has these from Kafka alone."""

from __future__ import annotations

from collections.abc import Sequence

from streams.cli.process.session import Session
from streams.history.correction.correction_plan import schema_ids_of
from streams.kafka.corrections_topic import CorrectionState, read_corrections
from streams.kafka.schemas_topic import LearningCodec


def readable_corrections(session: Session) -> Sequence[CorrectionState]:
    """Those that were begun, in their order; the session's codec knows what they put in. Raises BrokerError."""
    found = read_corrections(session.clients, session.config.prefix, session.app.name)
    learning = LearningCodec(session.codec, session.clients, session.config.prefix)
    learning.texts_of(schema_ids_of(it.change for it in found))
    return found
