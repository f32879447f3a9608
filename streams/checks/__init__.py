"""The checks of `retold check`: laws that can be checked by reading an application, without a broker, an event or a call."""

from streams.checks.check import check
from streams.checks.flow import cycles
from streams.checks.source_code import Breach

__all__ = ["Breach", "check", "cycles"]
