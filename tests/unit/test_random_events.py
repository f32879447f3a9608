"""`retold bench` makes events by their schema, and refuses those that would call a gateway."""

from __future__ import annotations

import pytest

import processors
from processors.events import EmailSend, UserClose, UserSignup
from streams.app import App
from streams.cli.benchmark.random_events import RandomEvents
from streams.cli.commands.bench import raise_if_a_gateway_would_be_called
from streams.codec import codec_of
from streams.errors import ConfigError, InvalidEvent
from tests.applications import bank, permits, probe, shop


@pytest.mark.parametrize("app", [processors.app(), bank.app(), permits.app(), probe.app(), shop.app()], ids=lambda app: app.name)
def test_random_events_of_every_type_are_valid(app: App) -> None:
    """The codec takes them, and gives back what has the key that was said."""
    codec = codec_of(app)
    for data in app.event_types().values():
        events = RandomEvents(data, codec, {}, 0, seed=1)
        made = [events.next() for _ in range(20)]
        assert [codec.decode(value).key for _, value in made] == [key for key, _ in made]
        assert len(dict(made)) == 20


def test_the_same_seed_makes_the_same_events() -> None:
    """Another one others; keys are drawn from as many as were said, and given fields are as given."""
    codec = codec_of(processors.app())

    def made(seed: int) -> list[tuple[str, bytes]]:
        events = RandomEvents(UserSignup, codec, {"plan": "pro", "reputation": "7"}, 3, seed)
        return [events.next() for _ in range(50)]

    assert made(1) == made(1) != made(2)
    assert {key for key, _ in made(1)} == {"bench-0", "bench-1", "bench-2"}
    for _, value in made(1):
        event = codec.decode(value)
        assert isinstance(event, UserSignup)
        assert (event.plan, event.reputation) == ("pro", 7)
    with pytest.raises(InvalidEvent, match="reputation"):
        RandomEvents(UserSignup, codec, {"reputation": "many"}, 3, 1)


def test_an_event_whose_worker_would_call_a_gateway_is_refused() -> None:
    """A request, and what leads to one in its own namespace; what leaves the namespace is handled by nobody."""
    app = processors.app()
    raise_if_a_gateway_would_be_called(app, UserSignup)
    raise_if_a_gateway_would_be_called(app, UserClose)
    with pytest.raises(ConfigError, match="handled by a gateway"):
        raise_if_a_gateway_would_be_called(app, EmailSend)
