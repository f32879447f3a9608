"""JSON that somebody else wrote may be no UTF-8, or brackets in brackets: no such text ends a worker or a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams.codec import codec_of
from streams.engine import marker
from streams.engine.control import PREFIX, clock_command
from streams.engine.engine import Engine
from streams.engine.envelope import due_header, log_header, parked_header
from streams.engine.step import step_of
from streams.errors import ConfigError, InvalidEvent, StalePlan, StreamsError, UndecodableRecord
from streams.history.acceptance_file import decode_accepted
from streams.history.branch.change_document import decode_document
from streams.history.correction.correction_plan import decode_plan
from streams.history.verification.verification_note import decoded_note
from tests.applications import probe

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("text", [
    b'{"command":"retry","key":"\xff","offset":0,"who":"a"}', b'{"x":' + DEEP + b"}", b'{"command":"clock","name":"\xff","at":1}',
    b'{"correction":"\xff"}', b"\xff",
], ids=["retry", "deep", "clock", "step", "no JSON"])  # fmt: skip
def test_a_control_record_that_cannot_be_read_is_quarantined(text: bytes) -> None:
    """Anybody may publish one. Its namespace goes on with the next record."""
    app = probe.app()
    engine = Engine(app, "probe", codec_of(app))
    good = (1, b"k", codec_of(app).encode(probe.ProbeDo(name="k")), None, 0)
    changes = engine.handle(engine.image(), [(0, b"k", PREFIX + text, None, 0), good], 1)
    assert [it.outcome for it in changes.results] == ["quarantined", "accepted"]
    assert (clock_command(PREFIX + text), step_of(PREFIX + text)) == (None, None)


@pytest.mark.parametrize(
    "text", [b'["\xff"]', b'{"status":"\xff","kind":"\xff","application":"\xff"}', b'{"x":' + DEEP + b"}"]
)
@pytest.mark.parametrize(("decode", "error"), [
    (lambda text: log_header([("retold", text)]), UndecodableRecord),
    (lambda text: parked_header([("retold_parked", text)]), UndecodableRecord),
    (lambda text: due_header([("retold_due", text)]), UndecodableRecord),
    (marker.decode, UndecodableRecord),
    (decode_document, InvalidEvent),
    (decode_plan, StalePlan),
    (lambda text: decode_accepted(text, str, "f", "findings"), ConfigError),
    (lambda text: decoded_note(text, "n", "a", ""), ConfigError),
], ids=["log", "parked", "due", "marker", "change", "plan", "accepted", "note"])  # fmt: skip
def test_a_text_that_cannot_be_read_is_told_in_a_sentence(
    decode: Callable[[bytes], Any], error: type[StreamsError], text: bytes
) -> None:
    """Its error is in the tree, whatever the bytes are."""
    with pytest.raises(error):
        decode(text)
