"""The Faust application: each namespace is an agent, each table a Faust table. The only module that imports Faust.

Seam: Faust's own consumer, producer, conductor and table recovery are left out by a boot strategy, which starts our
sources instead. A source's poll thread puts whole batches on the channel of its namespace, whose agent hands them to the
engine. `faust -A streams.worker.faust_app agents` and `tables` list what the application of `[tool.retold]` is made of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.channels import Channel
from mode import Service

from streams.app import App
from streams.config import Config, load
from streams.data import Record
from streams.engine.image import Image
from streams.kafka.topics import names
from streams.load import application
from streams.worker.batch import Batch
from streams.worker.source import Hand, Handle, Source

Loop = Callable[[], asyncio.AbstractEventLoop]
SPARE = 4
Images = Callable[[], Mapping[int, Image]]


class RowsView(Mapping[str, Record]):
    """The rows of the partitions that this worker holds: only committed changes are seen, and nobody writes here."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def __getitem__(self, key: str) -> Record:
        for image in list(self._images().values()):
            row = image.rows.get(key, (None, 0))[0]
            if row is not None:
                return row
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        for image in list(self._images().values()):
            yield from [key for key, (row, _) in list(image.rows.items()) if row is not None]

    def __len__(self) -> int:
        return sum(1 for _ in self)


class CommittedTable(faust.Table[str, Record]):
    """A Faust table over committed rows. Faust writes no changelog for it: rows leave in the batch's transaction."""

    rows: RowsView

    @property
    def data(self) -> RowsView:  # type: ignore[override]  # read-only, where Faust expects a store it may write
        return self.rows

    def on_key_get(self, key: Any) -> None:
        """Nothing: Faust's sensors count what its own agents read."""

    def on_key_set(self, key: Any, value: Any) -> None:  # noqa: ARG002 - Faust's signature
        raise TypeError("a table changes by events alone: publish one")

    def on_key_del(self, key: Any) -> None:  # noqa: ARG002 - Faust's signature
        raise TypeError("a table changes by events alone: publish one")


class InboxChannel(Channel[Any]):
    """A channel of batches that Faust lists under its inbox's name."""

    def __init__(self, *args: Any, inbox: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inbox = inbox

    def _clone_args(self) -> Mapping[str, Any]:
        return {**super()._clone_args(), "inbox": self.inbox}

    def get_topic_name(self) -> str:
        return self.inbox


class SourceService(Service):
    """A source's life inside Faust's: its poll thread starts with the app and has ended when the app has stopped."""

    def __init__(self, source: Source, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    async def on_start(self) -> None:
        self.source.start()

    async def on_stop(self) -> None:
        self.source.stop()
        while not self.source.join(0.0):  # not in a thread of the pool, which gateways may have filled
            await asyncio.sleep(0.02)


class Boot(BootStrategy):
    """Starts our sources where Faust would start its consumer, producer, conductor and table recovery."""

    services: Iterable[Service] = ()

    def kafka_producer(self) -> Iterable[Any]:
        return []

    def kafka_consumer(self) -> Iterable[Any]:
        return []

    def kafka_conductor(self) -> Iterable[Any]:
        return []

    def tables(self) -> Iterable[Any]:
        return self.services


class Quiet(faust.App):
    """An app whose own Kafka consumer never starts. Faust makes one all the same, with an event loop that we close."""

    async def on_start(self) -> None:
        self.finalize()

    async def on_stop(self) -> None:
        await super().on_stop()
        if self._consumer is not None:
            self._consumer._thread.thread_loop.close()  # type: ignore[attr-defined]  # of the aiokafka driver's class


class FaustApp:
    """Agents and tables of `app`; `add` gives it the sources that this process runs."""

    def __init__(self, app: App, folder: Path, inbox_of: Callable[[str], str]) -> None:
        self.faust = Quiet(
            f"retold-{app.name}",
            broker="kafka://127.0.0.1:1",  # never connected to: Boot leaves Faust's own transport out
            web_enabled=False,
            topic_disable_leader=True,
            datadir=str(folder),
        )
        self.faust.conf.Table = CommittedTable  # type: ignore[assignment]  # a setting annotated as an instance
        self._boot = Boot(self.faust)
        self.faust.boot_strategy = self._boot
        self.sources: dict[str, Source] = {}
        self.threads = SPARE
        """For `asyncio.to_thread`: gateways use it for clients that block."""
        self._channels = {space.name: self._agent(space.name, inbox_of(space.name)) for space in app.namespaces}

    def add(self, namespace: str, make: Callable[[Hand, Loop], Source]) -> None:
        """A source that this process runs. `make` is given the way to the agent, and to the event loop once it runs."""
        channel = self._channels[namespace]

        def hand(batch: Batch, handle: Handle) -> None:
            asyncio.run_coroutine_threadsafe(channel.put((batch, handle)), self.faust.loop)  # type: ignore[arg-type]  # any value goes through a channel as it is

        self.sources[namespace] = make(hand, lambda: self.faust.loop)
        self._boot.services = [SourceService(source) for source in self.sources.values()]

    def _agent(self, namespace: str, inbox: str) -> InboxChannel:
        channel = InboxChannel(self.faust, inbox=inbox)
        table = self.faust.Table(namespace, help=f"rows of {namespace}, folded by its handlers")
        assert isinstance(table, CommittedTable)
        table.rows = RowsView(
            lambda: self.sources[namespace].parts.tasks.images() if namespace in self.sources else {}
        )

        async def agent(batches: Any) -> None:
            async for batch, handle in batches:
                batch.run(handle)

        agent.__name__ = agent.__qualname__ = namespace
        agent.__doc__ = f"The one handler of each event of {namespace}."
        self.faust.agent(channel, name=namespace)(agent)
        return channel

    async def start(self) -> None:
        self.faust.loop = loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self.threads, "retold-call"))
        self.faust.flow_control.resume()  # without this, channels hand nothing over
        await self.faust.start()

    async def stop(self) -> None:
        for source in self.sources.values():  # all at once: Faust stops one after the other
            source.stop()
        await self.faust.stop()


def faust_app_of(app: App, config: Config) -> FaustApp:
    """Its agents and tables, without the sources that a worker adds."""
    return FaustApp(app, config.state / "faust", lambda name: names(config.prefix, name).inbox)


def __getattr__(name: str) -> Any:
    """`app`, for Faust's own command line: `faust -A streams.worker.faust_app agents`. Importing alone reads no settings."""
    if name != "app":
        raise AttributeError(name)
    config = load()
    return faust_app_of(application(config), config).faust
