"""The demonstration with a mail server that is slow, and fails one time in three."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass

from processors import app as demonstration
from processors.events import EmailBounced, EmailSend, EmailSent
from processors.mailers import Mailer
from processors.settings import Settings, settings
from streams import App, Event


@dataclass(frozen=True)
class Erratic:
    """Fails before it sends, or after."""

    mailer: Mailer
    chance: random.Random

    async def send(self, event: Event[EmailSend]) -> EmailSent | EmailBounced:
        await asyncio.sleep(self.chance.uniform(0, 0.05))
        if self.chance.random() < 0.2:
            raise ConnectionError("the mail server has hung up")
        answer = await self.mailer.send(event)
        if self.chance.random() < 0.15:
            raise ConnectionError("the mail server has hung up after it sent")
        return answer


def app() -> App:
    own = settings()
    return demonstration(Settings(Erratic(own.mailer, random.Random(os.getpid())), own.reminders))
