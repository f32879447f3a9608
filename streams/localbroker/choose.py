"""Chooses the Kafka that a command uses.

`own` is for commands that may start one (run, kafka, demo, tests); `found` is for all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streams.config import Config
from streams.errors import BrokerUnavailable
from streams.kafka.broker_check import check_broker
from streams.kafka.local_access import options_of
from streams.localbroker import docker, embedded, state
from streams.localbroker.jars import Progress, silent


@contextlib.contextmanager
def own(config: Config, on_progress: Progress = silent, *, lasting: bool = True) -> Iterator[str]:
    """The address of a broker that answers. One that is started here ends with the block, or with this process.

    RETOLD_BROKER, else one that this project runs already, else Docker if its engine answers, else the embedded one.
    Once a project has data in one of the last two, that one is used. Whoever sets RETOLD_HTTP_TOKEN or RETOLD_HTTP_TOKENS has other
    users on the machine: then it is the embedded one, with a password. `lasting=False`: the data need not be kept. Raises
    BrokerUnavailable, ConfigError.
    """
    running = config.broker or state.find(config)
    if running is not None:
        check_broker(running, options=options_of(config))
        yield running
    elif not embedded.holds_data(config.state) and _in_docker(config):
        with docker.start(config.state, on_progress, lasting=lasting) as address:
            yield address
    else:
        protected = config.needs_token
        with embedded.start(config.state, java=config.java, on_progress=on_progress, protected=protected) as broker:
            yield broker.address


def found(config: Config) -> str:
    """The address of a broker that answers: RETOLD_BROKER, else the one that this project runs now.

    Raises BrokerUnavailable saying how to get one.
    """
    running = config.broker or state.find(config)
    if running is None:
        raise BrokerUnavailable(
            f"no Kafka was found: RETOLD_BROKER is not set, and no broker of this project ({config.project}) runs. "
            "Start one with `retold run` in another terminal, or alone with `retold kafka`; or set RETOLD_BROKER=host:port."
        )
    try:
        check_broker(running, options=options_of(config))
    except BrokerUnavailable as error:
        raise no_answer_error(config, running, error) from error
    return running


def no_answer_error(config: Config, address: str, error: BrokerUnavailable) -> BrokerUnavailable:
    """The error for a broker that does not answer. Without RETOLD_BROKER it is the project's own broker."""
    if config.broker:
        return error
    return BrokerUnavailable(
        f"the broker that `retold run` started for this project does not answer at {address}. If it has just begun, try "
        "again; else end that `retold run` and start it again"
    )


def _in_docker(config: Config) -> bool:
    return docker.holds_data(config.state) or (not config.needs_token and docker.answers())
