"""ETags across a deployment: what changes an answer's body changes its ETag (rule 16)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from streams import App, Event, Namespace, Outcome, Projection
from streams.schemas.schema_ids import id_of
from streams.view import Tables, View
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo, ProbeRow
from tests.support.memory_server import MemoryServer

WAIT = {"Prefer": "wait=30"}


class NewRow(ProbeRow, frozen=True, kw_only=True):
    """The next version of the row, with a field that has a default."""

    schemas: ClassVar[tuple[str, ...]] = (
        *ProbeRow.schemas,
        ProbeRow.schemas[0].replace('"fields":[', '"fields":[{"name":"by","type":"string","default":"nobody"},'),
    )
    by: str = "nobody"


def deployed(row: type[ProbeRow], words: str, generation: int = 1) -> App:
    """The probe with this row, and with code that folds and answers in these words; each generation counts more."""
    space = Namespace("probe", row=row, generation=generation)
    folded = Projection("folded", row=EchoRow)

    @space.handles(ProbeDo, emits=[EchoHear])
    def do(old: ProbeRow | None, event: Event[ProbeDo]) -> Outcome[Any]:
        return Outcome(row(count=(old.count if old else 0) + generation, texts=MappingProxyType({})))

    @folded.folds(ProbeDo, key=lambda event: event.key)
    def fold(old: EchoRow | None, event: Event[ProbeDo]) -> EchoRow:
        return EchoRow(heard=(old.heard if old else 0) + len(words))

    def answered(tables: Tables) -> str:
        return words

    return App(
        name="probe", namespaces=[space, probe.echo], projections=[folded], views=[View("words", answered)]
    )


@pytest.fixture
def before(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(deployed(ProbeRow, "old"), tmp_path, answering=True) as server:
        server.http.post("/events/probe.do", json={"name": "k"}, headers=WAIT)
        yield server


def test_a_row_whose_schema_changed_is_sent_again(before: MemoryServer, tmp_path: Path) -> None:
    """At the same version its body has a new field: whoever asks with the ETag of before does not hear that nothing changed."""
    old = before.http.get("/rows/probe/k")
    with MemoryServer(deployed(NewRow, "old"), tmp_path) as after:
        after.kafka.take_over(before.kafka)
        for tag in (old.headers["etag"], '"1"'):
            new = after.http.get("/rows/probe/k", headers={"If-None-Match": tag})
            assert (new.status_code, new.json()["version"], new.json()["row"]["by"]) == (200, 1, "nobody")
        assert new.headers["etag"] != old.headers["etag"]
        assert after.http.get("/rows/probe/k", headers={"If-None-Match": new.headers["etag"]}).status_code == 304
    assert old.headers["etag"] == f'"1.{id_of(ProbeRow.schemas[0])}"'


def test_a_row_of_another_generation_is_sent_again(before: MemoryServer, tmp_path: Path) -> None:
    """Other handlers made another row of the same events, so at the same version and of the same schema."""
    old = before.http.get("/rows/probe/k")
    with MemoryServer(deployed(ProbeRow, "old", generation=2), tmp_path) as after:
        after.http.post("/events/probe.do", json={"name": "k"}, headers=WAIT)
        new = after.http.get("/rows/probe/k", headers={"If-None-Match": old.headers["etag"]})
        assert (new.status_code, new.json()["version"], new.json()["row"]["count"]) == (200, old.json()["version"], 2)
        assert after.http.get("/rows/probe/k", headers={"If-None-Match": new.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("{etag}", 304), ("W/{etag}", 304), ('"a", {etag}', 304), ('"a,b",W/{etag}', 304), ("*", 304),
        ('"a,*,b"', 200), ('"*"', 200), ("w", 200), ('"x, {bare}, y"', 200), ("{bare}", 200), ('"x{bare}"', 200),
    ],
)  # fmt: skip
def test_if_none_match_is_read_as_a_list_of_etags(before: MemoryServer, form: str, status: int) -> None:
    """Quoted ones, which may hold commas and asterisks: what is in one of them is no other one."""
    etag = before.http.get("/rows/probe/k").headers["etag"]
    match = form.format(etag=etag, bare=etag.strip('"'))
    assert before.http.get("/rows/probe/k", headers={"If-None-Match": match}).status_code == status


@pytest.mark.parametrize("form", ["{etag}", '"{version}"', '"{version}.7"'])
def test_if_match_compares_the_version_alone(before: MemoryServer, form: str) -> None:
    """The ETag of before a deployment is as good as the one after it, and so is a bare version."""
    etag = before.http.get("/rows/probe/k").headers["etag"]
    for version, status in ((1, 200), (1, 412)):
        match = form.format(etag=etag, version=version)
        got = before.http.post("/events/probe.do", json={"name": "k"}, headers={**WAIT, "If-Match": match})
        assert got.status_code == status, got.text


@pytest.mark.parametrize("match", ['"1."', '"1.x"', '".1"', "1.1", '"1.1.1"', '"\u0661"'])
def test_what_is_no_etag_of_a_row_is_refused(before: MemoryServer, match: str) -> None:
    """400, and nothing is published."""
    headers = [(b"if-match", match.encode())]
    assert before.http.post("/events/probe.do", json={"name": "k"}, headers=headers).status_code == 400


def test_the_etag_of_an_outcome_is_that_of_the_row(before: MemoryServer) -> None:
    """So what is kept of the row by then is known to be old, or not."""
    got = before.http.post("/events/probe.do", json={"name": "k"}, headers=WAIT)
    assert before.http.get("/rows/probe/k").headers["etag"] == got.headers["etag"]


@pytest.mark.parametrize("url", ["/views/words", "/projections/folded", "/projections/folded/k", "/rows/probe"])
def test_what_code_answers_changes_its_etag_with_the_code(before: MemoryServer, tmp_path: Path, url: str) -> None:
    """At the same position: a view, a projection's rows, a page."""
    old = before.http.get(url)
    with MemoryServer(deployed(NewRow, "newer"), tmp_path, answering=True) as after:
        after.kafka.take_over(before.kafka)
        new = after.http.get(url, headers={"If-None-Match": old.headers["etag"]})
        assert (old.status_code, new.status_code) == (200, 200)
        assert new.headers["etag"] != old.headers["etag"]
        assert after.http.get(url, headers={"If-None-Match": new.headers["etag"]}).status_code == 304
