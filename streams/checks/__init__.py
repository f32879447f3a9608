"""The laws that an application can be held to by reading it: no broker, no event, no handler called."""

from streams.checks.check import check
from streams.checks.flow import cycles
from streams.checks.source_code import Breach

__all__ = ["Breach", "check", "cycles"]
