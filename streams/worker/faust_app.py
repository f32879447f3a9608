"""The Faust application: each namespace is an agent, each table a Faust table. The only module that imports Faust.

A boot strategy starts our runners instead of Faust's consumer, producer, conductor and table recovery. An agent pulls: its
channel's `get` polls in the namespace's one thread, and the agent awaits the handling there. `faust -A
streams.worker.faust_app agents` and `tables` list the agents and tables of the application in `[tool.retold]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from streams.errors import unwritable_state
from streams.kafka.topics import topic_names
from streams.load import application
from streams.private_files import make_private
from streams.worker.gateway_loop import GatewayLoop
from streams.worker.metrics_listener import MetricsListener
from streams.worker.runner import NamespaceRunner

Images = Callable[[], Mapping[int, Image]]


class RowsView(Mapping[str, Record]):
    """The committed rows of the partitions that this worker owns, read-only."""

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
            yield from image.rows.present()

    def __len__(self) -> int:
        return sum(1 for _ in self)


class CommittedTable(faust.Table[str, Record]):
    """A Faust table over committed rows. Faust writes no changelog for it: rows are written in the batch's transaction."""

    rows: RowsView

    @property
    def data(self) -> RowsView:  # type: ignore[override]  # read-only, where Faust expects a store it may write
        return self.rows

    def on_key_get(self, key: Any) -> None:
        """Does nothing: this hook is for Faust's sensors."""

    def on_key_set(self, key: Any, value: Any) -> None:  # noqa: ARG002 - Faust's signature
        raise TypeError("a table changes by events alone: publish one")

    def on_key_del(self, key: Any) -> None:  # noqa: ARG002 - Faust's signature
        raise TypeError("a table changes by events alone: publish one")


class InboxChannel(Channel[Any]):
    """A channel that Faust lists under its inbox's name. Its messages are the batches of `runner`, if there is one."""

    def __init__(self, *args: Any, inbox: str = "", runner: NamespaceRunner | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inbox, self.runner = inbox, runner

    def _clone_args(self) -> Mapping[str, Any]:
        return {**super()._clone_args(), "inbox": self.inbox, "runner": self.runner}

    async def get(self, *, timeout: Any = None) -> Any:
        """The next batch. A namespace that this process does not run has none."""
        return await (super().get(timeout=timeout) if self.runner is None else self.runner.poll())

    async def __anext__(self) -> Any:
        """Faust's stream calls this when the channel's queue is empty, and nothing is ever put there."""
        return await self.get()

    def get_topic_name(self) -> str:
        return self.inbox


class RunnerService(Service):
    """A runner as a Faust service: its thread starts with the app and has ended when the app has stopped."""

    def __init__(self, runner: NamespaceRunner, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.runner = runner

    async def on_start(self) -> None:
        self.runner.start()

    async def on_stop(self) -> None:
        self.runner.stop()
        while not self.runner.join(0.0):  # not in a pool thread: an unavailable broker could block it
            await asyncio.sleep(0.02)


class WorkerBoot(BootStrategy):
    """Starts our runners instead of Faust's consumer, producer, conductor and table recovery."""

    services: Iterable[Service] = ()

    def kafka_producer(self) -> Iterable[Any]:
        return []

    def kafka_consumer(self) -> Iterable[Any]:
        return []

    def kafka_conductor(self) -> Iterable[Any]:
        return []

    def tables(self) -> Iterable[Any]:
        return self.services


class ConsumerlessApp(faust.App):
    """An app whose own Kafka consumer never starts. Faust makes one anyway, with an event loop that is closed here."""

    async def on_start(self) -> None:
        self.finalize()

    async def on_stop(self) -> None:
        await super().on_stop()
        if self._consumer is not None:
            self._consumer._thread.thread_loop.close()  # type: ignore[attr-defined]  # of the aiokafka driver's class


class FaustApp:
    """Agents and tables of `app`; `add` adds the runners of this process. `gateways` and `metrics` are stopped with it."""

    def __init__(self, app: App, folder: Path, inbox_of: Callable[[str], str]) -> None:
        self.faust = ConsumerlessApp(
            f"retold-{app.name}",
            broker="kafka://127.0.0.1:1",  # never used: WorkerBoot does not start Faust's transport
            web_enabled=False,
            topic_disable_leader=True,
            datadir=str(folder).replace("{", "{{").replace("}", "}}"),  # Faust takes it for a format
        )
        self.faust.conf.Table = CommittedTable  # type: ignore[assignment]  # a setting annotated as an instance
        self._boot = WorkerBoot(self.faust)
        self.faust.boot_strategy = self._boot
        self.runners: dict[str, NamespaceRunner] = {}
        self.gateways: GatewayLoop | None = None
        self.metrics: MetricsListener | None = None
        self._channels = {space.name: self._agent(space.name, inbox_of(space.name)) for space in app.namespaces}

    def add(self, namespace: str, runner: NamespaceRunner) -> None:
        """Add a namespace that this process runs."""
        self.runners[namespace] = self._channels[namespace].runner = runner
        self._boot.services = [RunnerService(runner) for runner in self.runners.values()]

    def _agent(self, namespace: str, inbox: str) -> InboxChannel:
        channel = InboxChannel(self.faust, inbox=inbox)
        table = self.faust.Table(namespace, help=f"rows of {namespace}, folded by its handlers")
        assert isinstance(table, CommittedTable)
        table.rows = RowsView(
            lambda: self.runners[namespace].cycle.tasks.images() if namespace in self.runners else {}
        )

        async def agent(batches: Any) -> None:
            async for batch in batches:
                await self.runners[namespace].handle(batch)

        agent.__name__ = agent.__qualname__ = namespace
        agent.__doc__ = f"The one handler of each event of {namespace}."
        self.faust.agent(channel, name=namespace)(agent)
        return channel

    async def start(self) -> None:
        if self.metrics is not None:
            await self.metrics.start()
        self.faust.loop = asyncio.get_running_loop()
        self.faust.flow_control.resume()  # without this, channels deliver nothing
        await self.faust.start()

    async def stop(self) -> None:
        for runner in self.runners.values():  # all at once: Faust would stop them one after the other
            runner.stop()
        await self.faust.stop()
        if self.gateways is not None:
            self.gateways.stop()
        if self.metrics is not None:
            await self.metrics.stop()


def faust_app_of(app: App, config: Config) -> FaustApp:
    """Its agents and tables, without the runners that a worker adds."""
    folder = config.state / "faust"
    try:
        for each in (config.state, folder, folder / "v1", folder / "v1" / "tables"):
            make_private(each)  # Faust would make them as the umask has it
    except OSError as error:
        raise unwritable_state(config.state, error) from error
    return FaustApp(app, folder, lambda name: topic_names(config.prefix, name).inbox)


def __getattr__(name: str) -> Any:
    """`app`, for Faust's own command line: `faust -A streams.worker.faust_app agents`. Importing alone reads no settings."""
    if name != "app":
        raise AttributeError(name)
    config = load()
    return faust_app_of(application(config), config).faust
