"""Test an application in memory: `given(app, *history).when(event)`. No broker, no clock, no threads, no mocks."""

from streams.testing.purity_run import purity_probe
from streams.testing.results import FailedCall, Result, Unhandled
from streams.testing.world import START, World, event, given

__all__ = ["START", "FailedCall", "Result", "Unhandled", "World", "event", "given", "purity_probe"]
