"""Requests that schemathesis makes from a server's OpenAPI: right ones, and wrong ones. What is answered must be as described."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import SkipTest

import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator

from streams.server.http import answers
from tests.applications import shop
from tests.support.memory_server import MemoryServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its libraries' own
    import schemathesis
    from schemathesis import GenerationMode

LONGEST = 10.0
"""s that an answer may take."""
WAITED = 0.05
"""s that a request waits for a position which, being random, is never reached."""


class Finding(NamedTuple):
    """`how` is the request as a command."""

    operation: str
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.what}\n    {self.how}"


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")


@contextmanager
def fuzzed_shop(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A server of the shop in which each event has happened once, with its address and its OpenAPI."""
    waited, answers.POSITION_TIMEOUT = answers.POSITION_TIMEOUT, WAITED
    try:
        with MemoryServer(shop.app(), folder, answering=True) as server:
            spec = server.http.get("/openapi.json").json()
            for path, methods in spec["paths"].items():
                body = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
                if path.startswith("/events/"):
                    server.http.post(path, json=body.get("example"))
            yield str(server.http.base_url).rstrip("/"), spec
    finally:
        answers.POSITION_TIMEOUT = waited


class ApiFuzz:
    """Asks each operation of a server; a seed gives the same requests again."""

    def __init__(self, url: str, spec: dict[str, Any], number: int, examples: int) -> None:
        self._url, self._spec, self._seed, self._examples = url, spec, number, examples
        self._session = requests.Session()
        self.statuses = Counter[int]()
        self.findings: dict[tuple[str, str], Finding] = {}
        """One of each kind."""

    def run(self, until: float = float("inf")) -> None:
        """All operations once, or as many as are asked by then (`time.monotonic`)."""
        for found in schemathesis.openapi.from_dict(self._spec).get_all_operations():
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if time.monotonic() < until:
                    self._each_case(found.ok(), mode)

    def _each_case(self, operation: Any, mode: GenerationMode) -> None:
        try:
            cases = operation.as_strategy(generation_mode=mode)
        except Exception as error:  # noqa: BLE001 - nothing wrong can be made of an operation that takes anything
            if mode is GenerationMode.POSITIVE:
                self._note(operation.label, f"no request can be made: {error}", "")
            return
        bounded = settings(
            max_examples=self._examples, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip

        @seed(self._seed)
        @bounded
        @given(case=cases)
        def ask(case: Any) -> None:
            self._ask(operation, case)

        try:
            ask()
        except (Unsatisfiable, SkipTest) as error:  # where anything is taken, no wrong request can be made
            if mode is GenerationMode.POSITIVE:
                self._note(operation.label, f"no request can be made: {type(error).__name__} {error}", "")

    def _ask(self, operation: Any, case: Any) -> None:
        began = time.monotonic()
        try:
            got = self._session.request(**case.as_transport_kwargs(base_url=self._url), stream=True, timeout=LONGEST)
        except requests.exceptions.InvalidHeader:
            return  # a header that no client can send
        except (UnicodeError, requests.exceptions.InvalidURL):
            return
        except requests.exceptions.RequestException as error:
            self._note(operation.label, f"no answer: {type(error).__name__}", case.as_curl_command())
            return
        self.statuses[got.status_code] += 1
        with got:
            body = b"" if "event-stream" in got.headers.get("content-type", "") else got.content
            for what in self._wrong(operation, case, got, body, time.monotonic() - began):
                self._note(operation.label, what, f"{case.as_curl_command()}\n    {body[:300]!r}")

    def _wrong(self, operation: Any, case: Any, got: requests.Response, body: bytes, took: float) -> Iterator[str]:
        if took > LONGEST:
            yield f"it took longer than {LONGEST:g} s"
        if got.status_code == 503 and "Retry-After" not in got.headers:
            yield "a 503 that does not say when to come again"
        if got.status_code >= 500 and not (got.status_code == 503 or (got.status_code == 504 and "Prefer" in case.headers)):
            yield f"the status {got.status_code}"
        if got.status_code == 405 and case.method.upper() != operation.method.upper():
            return
        told = operation.definition.raw["responses"].get(str(got.status_code))
        if told is None:
            yield f"the status {got.status_code}, which is not described"
            return
        told = self._spec["components"]["responses"].get(told.get("$ref", "").rpartition("/")[2], told)
        yield from self._wrong_content(told.get("content"), got, body)

    def _wrong_content(self, content: Mapping[str, Any] | None, got: requests.Response, body: bytes) -> Iterator[str]:
        if content is None:
            return
        kind = got.headers.get("content-type", "").partition(";")[0]
        if kind not in content:
            yield f"the content type {kind}, which is not described"
        elif kind.endswith("json") and not kind.endswith("ndjson"):
            schema = {**content[kind]["schema"], "components": self._spec["components"]}
            for error in Draft202012Validator(schema).iter_errors(requests.models.complexjson.loads(body)):
                yield f"{got.status_code} is not as described: {error.message[:100]}"

    def _note(self, operation: str, what: str, how: str) -> None:
        self.findings.setdefault((operation, what), Finding(operation, what, how))

