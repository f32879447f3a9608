"""The laws that an application can be held to by reading it: no broker, no event, no handler called."""

from streams.laws.check import check
from streams.laws.flow import cycles
from streams.laws.sources import Breach

__all__ = ["Breach", "check", "cycles"]
