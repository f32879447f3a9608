"""Test an application in memory: `given(app, *history).when(event)`. No broker, no clock, no threads, no mocks."""

from streams.testing.outcomes import FailedCall, Result, Unhandled
from streams.testing.purity import purity_probe
from streams.testing.world import START, World, event, given

__all__ = ["START", "FailedCall", "Result", "Unhandled", "World", "event", "given", "purity_probe"]
