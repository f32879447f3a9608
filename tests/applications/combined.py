"""The shop and the probe in one application: between them they make every kind of record that a worker stores."""

from __future__ import annotations

from dataclasses import replace

from streams import App
from tests.applications import probe, shop


def app(cards: shop.CardApi | None = None) -> App:
    base = shop.app(cards)
    return replace(base, name="combined", namespaces=[*base.namespaces, probe.probe, probe.echo])
