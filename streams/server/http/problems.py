"""Errors as answers, all of one shape: application/problem+json (RFC 9457)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException
from starlette.exceptions import HTTPException
from starlette.responses import Response

from streams.errors import BrokerError, InvalidEvent, InvalidQuery, StreamsError
from streams.server.http.problem_types import BY_NAME, ProblemType
from streams.server.readmodel.store_readers import StoreAway

log = logging.getLogger("retold.server")
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}
STOPS = "this server is stopping: ask another one, or this one when it is there again"
STREAMS = "/live"
"""The path of streams, which are the only ones that take no HEAD."""


def is_stream(path: str) -> bool:
    return path == STREAMS or path.startswith(f"{STREAMS}/")


def sentence(detail: str) -> str:
    """With its end."""
    return detail if detail.endswith((".", "?", "!")) else f"{detail}."


class Problem(Exception):
    """An error that only HTTP has; what retold itself refuses is a StreamsError.

    `detail` is a sentence, `field` the field or parameter that is wrong, `kind` the name of a type of problem that has a page,
    `members` more of the answer.
    """

    def __init__(
        self, status: int, detail: str, *, field: str = "", kind: str = "", headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.kind = status, detail, field, kind
        self.headers, self.members = dict(headers or {}), members

    @property
    def known(self) -> ProblemType | None:
        """Its type, if it has a page."""
        return BY_NAME.get(self.kind)

    def body(self, instance: str) -> dict[str, Any]:
        known = self.known
        found: dict[str, Any] = {
            "type": "about:blank" if known is None else known.url,
            "title": HTTPStatus(self.status).phrase if known is None else known.title,
            "status": self.status,
            "detail": sentence(self.detail),
            "instance": instance,
        }
        if self.field:
            found["errors"] = [{"field": self.field, "detail": found["detail"]}]
        return found | self.members

    def response(self, instance: str) -> Response:
        body = msgspec.json.encode(self.body(instance))
        return Response(body, self.status, self.headers, media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """The problem for an error. For a fault of retold's own it shows no details."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, InvalidEvent):
        return Problem(error.status, str(error), field=error.field)
    if isinstance(error, InvalidQuery):
        return Problem(error.status, str(error), field=error.field, kind=error.problem)
    if isinstance(error, StreamsError):
        return Problem(error.status, str(error), headers=RETRY_AFTER if isinstance(error, BrokerError) else None)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), headers=error.headers)
    if isinstance(error, KafkaException):
        cause = error.args[0]
        text = cause.str() if isinstance(cause, KafkaError) else cause
        return Problem(503, f"Kafka could not do it: {text}", headers=RETRY_AFTER)
    if isinstance(error, StoreAway | sqlite3.Error):
        why = "is not there yet" if isinstance(error, StoreAway) else f"cannot be read now ({error})"
        return Problem(503, f"the file that this server answers from {why}; /-/status says more", headers=RETRY_AFTER)
    log.error("a fault of retold's own", exc_info=error)
    return Problem(500, "this is a fault of the server's own; its log says more")
