"""The whole story of a sign-up, beside the single stage: its folder, the request for its mail, and the gateway's answer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ops.bench.attempts import attempt
from ops.bench.contestant import story
from ops.bench.figures import BenchFigures
from ops.bench.plan import STORY, Plan
from ops.bench.story import app
from ops.bench.watch import WrongResult
from ops.bench.work import Record, fill, headers_of
from ops.bench.worker_run import WorkerRun
from processors.events import UserSignup
from streams.codec import codec_of

SIGN_UPS = 10_000
"""How many are handled before anything is measured."""
EVENTS_OF_A_SIGN_UP = {"user": 1, "folder": 1, "email": 2}
"""By namespace."""
CODEC = codec_of(app())


def sign_up(number: int) -> Record:
    user = f"user-{number:07d}"
    value = CODEC.encode(UserSignup(user=user, email=f"{user}@example.org", plan="pro", reputation=number % 1000))
    return user.encode(), value, headers_of(number, user.encode(), b"user.signup")


class StoryWork:
    """A sign-up, its folder and its mail, by one worker for all three namespaces."""

    def __init__(self, plan: Plan, figures: BenchFigures, broker: str, folder: Path) -> None:
        self.plan, self.figures, self.broker, self.folder = plan, figures, broker, folder
        self.sign_ups = SIGN_UPS

    def warm_up(self) -> None:
        attempt(self.figures, STORY, partial(self._go, measured=False))

    def round(self, _: int) -> None:
        attempt(self.figures, STORY, self._go)

    def _go(self, prefix: str, *, measured: bool = True, again: bool = True) -> None:
        """With too short a window it is made again, once, with more events."""
        run = WorkerRun(story(), prefix, self.broker, self.folder / prefix)
        run.contestant.prepare(run.admin, prefix)
        fill(self.broker, prefix + "user", map(sign_up, range(self.sign_ups)))
        found = run.go({namespace: each * self.sign_ups for namespace, each in EVENTS_OF_A_SIGN_UP.items()})
        if (rows := run.keys()) != self.sign_ups:
            raise WrongResult(f"{STORY}: {rows} users; expected {self.sign_ups}")
        short = found.seconds < self.plan.window
        if short or not measured:
            self.sign_ups = self.plan.events(STORY, found.rate / sum(EVENTS_OF_A_SIGN_UP.values()), SIGN_UPS)
        if measured and short and again:
            self.figures.say(f"{STORY:16}too short a window, so again with {self.sign_ups:,} sign-ups")
            self._go(f"{prefix}again-", again=False)
        elif measured:
            self.figures.add_window(STORY, found)
