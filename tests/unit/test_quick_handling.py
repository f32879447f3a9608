"""The quick way to handle an event gives what the careful one gives."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.bench import application as plain
from ops.bench import chain, story
from ops.bench.story_work import sign_up
from streams import App, Namespace, Outcome
from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.event_handlers import Limits
from streams.engine.records import Headers
from tests.applications import bank, moody, permits, probe, shop, timed
from tests.applications.probe.events import EchoHear, ProbeDo, ProbeRow
from tests.support.both_ways import ACTIONS, BothWays

APPS = {it.name: it for it in (module.app() for module in (bank, shop, timed, plain, probe, moody, permits, chain, story))}
LIMITS = [Limits(), Limits(event_bytes=60), Limits(row_bytes=20), Limits(window=4), Limits(ahead=3_600_000_000)]
NUMBERS = st.integers(0, 101 * 103 * 1000)


@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(LIMITS), st.lists(st.tuples(st.sampled_from(ACTIONS), NUMBERS), max_size=80))
def test_the_quick_way_gives_the_same_changes(app: App, limits: Limits, actions: list[tuple[str, int]]) -> None:
    """Of batches with duplicates, odd headers, damaged values, wrong keys, parked keys, commands and timers: all of Changes.

    Handlers are called for the same events, each once, and none that is known never to return.
    """
    both = BothWays(app, limits)
    for action in actions:
        both.act(*action)


@pytest.mark.parametrize("name", APPS)
def test_plain_events_are_taken_in_the_quick_way(name: str) -> None:
    """All but the first of each publisher and type, which the careful way reads."""
    both = BothWays(APPS[name], Limits())
    for number in range(90):
        both.publish(number, number, number)
    for number in range(60):
        both.handle(number, 39, 1)
    assert both.quick > 20


def test_one_id_of_two_sources_is_two_events_also_if_it_is_derived() -> None:
    """Somebody who repeats a worker's emissions under a source of his own takes the place of none."""
    both = BothWays(APPS["retold-bench-chain"], Limits())
    for number in range(8):
        both.publish(both.types.index(chain.BenchSignup), number, 1)
    for _ in range(2):
        both.handle(0, 39, 1)
    leaves = [it for it in both.everything if it[0] == "leaf"]
    for inbox in both.inboxes.values():
        inbox.clear()  # the others come first
    for namespace, key, value, headers in leaves:
        both.put(namespace, key, value, [(name, b"x" if name == "ce_source" else text) for name, text in headers or []])
    for namespace, key, value, headers in leaves:
        both.put(namespace, key, value, headers)
    for number in range(20):
        both.handle(number, 39, 1)
    assert not any(it.duplicate for it in both.results)
    assert len(both.results) == 8 + 2 * len(leaves)


def test_requests_and_their_answers_are_taken_in_the_quick_way() -> None:
    """Of ten sign-ups with their folders, mails and answers, all but the first of each publisher and type."""
    both = BothWays(APPS["retold-demo"], Limits())
    for number in range(10):
        both.put("user", *sign_up(number))
    while any(both.inboxes.values()):
        both.handle(0, 39, 1)
    assert len(both.results) == 40
    assert both.quick >= 40 - 2 * 4, "each partition's first"


def changed(headers: Headers | None, name: str, value: bytes) -> Headers:
    return [(it, value if it == name else text) for it, text in headers or []]


def test_only_the_answer_of_a_request_that_waits_is_handled_as_one() -> None:
    """Neither what names a request as its cause, nor an answer that comes again from another source."""
    both = BothWays(APPS["retold-demo"], Limits())
    for number in range(16):
        both.put("user", *sign_up(number))
    while not (answers := [it for it in both.everything if ("ce_type", b"email.sent") in (it[3] or [])]):
        both.handle(0, 39, 1)
    for inbox in both.inboxes.values():
        inbox.clear()  # the forged ones come first
    for namespace, key, value, headers in answers:
        both.put(namespace, key, value, changed(headers, "ce_id", b"forged %s" % (key or b"")))
    for source in (b"retold/retold-demo/email", b"x"):
        for namespace, key, value, headers in answers:
            both.put(namespace, key, value, changed(headers, "ce_source", source))
    while any(both.inboxes.values()):
        both.handle(0, 39, 1)
    assert {it.reason for it in both.results if it.outcome == "rejected"} == {"already answered"}


@pytest.mark.parametrize("key", ["", "\x01k", "\x00", "k" * 513, "ä" * 300])
def test_an_emission_whose_key_may_not_be_one_parks_its_event(key: str) -> None:
    """With the sentence that says what is wrong with the key."""
    space = Namespace("probe", row=ProbeRow)
    space.handles(ProbeDo, emits=[EchoHear])(lambda row, event: Outcome(row, emit=[EchoHear(name=key)]))
    app = App(name="emits", namespaces=[space])
    engine = Engine(app, "probe", codec_of(app))
    changes = engine.handle(engine.image(), [(0, b"k", codec_of(app).encode(ProbeDo(name="k")), None, 0)], 1)
    assert [it.outcome for it in changes.results] == ["parked"]
    assert "the key echo.hear.name is" in changes.set_aside[0].header.reason
