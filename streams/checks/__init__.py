"""The checks of `retold check`: laws that can be checked by reading an application, without a broker, an event or a call."""

from streams.checks.check import check
from streams.checks.flow import cycles
from streams.checks.source_code import Breach
from streams.checks.timer_rules import timer_advice

__all__ = ["Breach", "check", "cycles", "timer_advice"]
