"""Help as tables. Typer's own shows the same, but loads Markdown, syntax colours and tracebacks first.

With it, `retold schemas list --help` took 0.56 s of CPU time, with this 0.39 s (Typer 0.29.2, medians of 7, alternating).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

from streams.cli.arguments.coercion import read_without_pydantic
from streams.cli.output.screen import console
from streams.cli.process import exit_codes

Lines = list[tuple[str, str]]
Summary = tuple[str, str, str]
"""Panel, name and first paragraph of a command."""


class Command(TyperCommand):
    """One command."""

    def get_params(self, ctx: Any) -> list[Any]:
        return read_without_pydantic(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the table is printed, not formatted
        _head(self, ctx)
        _panel("Arguments", _parameters(self, ctx, "argument"))
        _panel("Options", _parameters(self, ctx, "option"))


class Group(TyperGroup):
    """A command of commands; the outermost one lists the exit codes too."""

    def get_params(self, ctx: Any) -> list[Any]:
        return read_without_pydantic(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as above
        _head(self, ctx)
        panels: dict[str, Lines] = {}
        for panel, name, summary in self.summaries(ctx):
            panels.setdefault(panel, []).append((name, summary))
        for panel, lines in panels.items():
            _panel(panel, lines)
        _panel("Options", _parameters(self, ctx, "option"))
        if ctx.parent is None:
            _panel("Exit codes", [(str(code), meaning) for code, meaning in exit_codes.MEANINGS.items()])

    def summaries(self, ctx: Any) -> Iterator[Summary]:
        """Of its commands, in their order."""
        for name in self.list_commands(ctx):
            yield "Commands", name, _paragraphs(self.commands[name].help)[0]


def _head(command: Any, ctx: Any) -> None:
    pieces = " ".join(command.collect_usage_pieces(ctx)).replace("[", r"\[")
    console().print(f"\n [bold]Usage:[/] [cyan]{ctx.command_path}[/] {pieces}\n")
    for paragraph in _paragraphs(command.help):
        console().print(_indented(paragraph))


def _paragraphs(text: str | None) -> list[str]:
    parts = textwrap.dedent(text or "").strip().split("\n\n")
    return [" ".join(part.split()) for part in parts]


def _indented(paragraph: str) -> Any:
    from rich.padding import Padding

    return Padding(paragraph, (0, 1, 1, 1))


def _parameters(command: Any, ctx: Any, kind: str) -> Lines:
    found = [p for p in command.get_params(ctx) if p.param_type_name == kind and not getattr(p, "hidden", False)]
    return [(_name(parameter), _text(parameter)) for parameter in found]


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name)
    names = ", ".join(sorted(parameter.opts, key=len))
    return names if parameter.is_flag else f"{names} {parameter.metavar or 'TEXT'}"


def _text(parameter: Any) -> str:
    default = parameter.default
    shown = "" if not default or parameter.name == "help" else f" \\[default: {default}]"
    return f"{parameter.help or ''}{shown}"


def _panel(title: str, lines: Iterable[tuple[str, str]]) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    lines = list(lines)
    if lines:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, min_width=9)
        grid.add_column()
        for name, text in lines:
            grid.add_row(Text(name, style="bold cyan"), text)
        console().print(Panel(grid, title=title, title_align="left", border_style="dim"))
