"""A probe: counts, echoes what it counts, and goes wrong in every way that a handler can, when an event says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from streams import App, Event, Namespace, Outcome, Rejected
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo, ProbeRow

probe = Namespace("probe", row=ProbeRow)
echo = Namespace("echo", row=EchoRow)


@probe.handles(ProbeDo, emits=[EchoHear])
def do(row: ProbeRow | None, event: Event[ProbeDo]) -> Outcome[ProbeRow]:
    how, key = event.data.how, event.key
    row = row or ProbeRow(count=0, texts=MappingProxyType({}))
    if how in WRONG:
        return WRONG[how](row, key)  # type: ignore[no-any-return]  # wrong on purpose
    if how == "refuse":
        raise Rejected("told to refuse", emit=[EchoHear(name=key)])
    if how == "delete":
        return Outcome(None)
    new = ProbeRow(count=row.count + 1, texts={**row.texts, **({event.data.text: key} if event.data.text else {})})
    return Outcome(new, emit=[EchoHear(name=key)] if how == "echo" else [])


@echo.handles(EchoHear)
def hear(row: EchoRow | None, event: Event[EchoHear]) -> Outcome[EchoRow]:
    return Outcome(EchoRow(heard=(row.heard if row else 0) + 1))


def counted(row: ProbeRow) -> Outcome[ProbeRow]:
    return Outcome(ProbeRow(count=row.count + 1, texts=row.texts))


def _raise(row: ProbeRow, key: str) -> Any:
    raise RuntimeError(f"told to raise for {key}")


def _mutate_row(row: ProbeRow, key: str) -> Any:
    row.count = 7  # type: ignore[misc]  # wrong on purpose


def _mutate_map(row: ProbeRow, key: str) -> Any:
    row.texts["x"] = "y"  # type: ignore[index]  # wrong on purpose


class Refusing(Mapping[str, str]):
    """Made late, as a mapping over a cursor is; and what makes it refuses."""

    def __iter__(self) -> Iterator[str]:
        raise Rejected("too late to refuse")

    def __getitem__(self, name: str) -> str:
        raise Rejected("too late to refuse")

    def __len__(self) -> int:
        return 1


WRONG: dict[str, Any] = {
    "raise": _raise,
    "none": lambda row, key: None,
    "undeclared": lambda row, key: Outcome(row, emit=[ProbeDo(name=key)]),
    "mutate row": _mutate_row,
    "mutate map": _mutate_map,
    "bad row": lambda row, key: Outcome(ProbeRow(count="many", texts={})),  # type: ignore[arg-type]  # wrong on purpose
    "refusing row": lambda row, key: Outcome(ProbeRow(count=1, texts=Refusing())),
    "wrong row": lambda row, key: Outcome(EchoRow(heard=1)),
    "bad emission": lambda row, key: Outcome(row, emit=[EchoHear(name="")]),
}


def app() -> App:
    return App(name="probe", namespaces=[probe, echo])
