"""`retold token`: who may ask a server, and for what."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.cli.arguments.options import Json
from streams.cli.arguments.wrong_usage import WrongUsage
from streams.cli.output.help import Command, Group
from streams.cli.output.screen import displayed, json_line, say, table, talk
from streams.config import load
from streams.errors import ConfigError
from streams.load import application
from streams.server.access.token_edit import digest_text, made_token, replace_file, text_of, with_entry, without_entry
from streams.server.access.token_file import TokenDocument, TokenEntry, principals_of, read_document

token = typer.Typer(
    name="token",
    cls=Group,
    help="Give tokens for a server's HTTP, each with rights of its own; list and revoke them.",
    no_args_is_help=True,
    add_completion=False,
)
Name = Annotated[str, typer.Argument(help="The name of who holds it.", metavar="NAME")]
Several = list[str] | None


@token.command(cls=Command)
def new(  # noqa: PLR0913 - one parameter an option
    name: Name,
    publish: Annotated[
        Several, typer.Option("--publish", help="An event: order.place, order.*, or *.", metavar="EVENT")
    ] = None,
    read: Annotated[
        Several,
        typer.Option("--read", help="rows/order, events/order, projections/NAME, views/PATH, rows/*, or *.", metavar="WHAT"),
    ] = None,
    operate: Annotated[
        Several, typer.Option("--operate", help="Whose parked events it decides about: a namespace, or *.", metavar="NAMESPACE")
    ] = None,
    correct: Annotated[
        Several, typer.Option("--correct", help="Whose past it may correct: a namespace, or *.", metavar="NAMESPACE")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It sees status and metrics.")] = False,
    only: Annotated[
        Several,
        typer.Option("--only", help="It sees these rows alone: order:customer=c7.", metavar="TABLE:CONDITIONS"),
    ] = None,
    publish_only: Annotated[
        Several,
        typer.Option(
            "--publish-only", help="It publishes these data alone: order.place:customer=c7.", metavar="EVENT:CONDITIONS"
        ),
    ] = None,
) -> None:
    """Give somebody a token: it is printed once, and its digest is kept.

    Example: [bold]retold token new shop-web --publish order.place --read rows/order[/]
    """
    config = load()
    file = _file(config.http_tokens)
    made = made_token()
    entry = TokenEntry(
        name, digest_text(made), tuple(publish or ()), tuple(read or ()), tuple(operate or ()),
        tuple(correct or ()), admin=admin, only=_pairs("--only", only or ()),
        publish_only=_pairs("--publish-only", publish_only or ()),
    )  # fmt: skip
    before = text_of(file)
    there = read_document(file).principal if before else ()
    principals_of(TokenDocument((*there, entry)), application(config), file)
    replace_file(file, with_entry(before, entry))
    say(made)
    talk(f"{displayed(file)} has the digest of this token of {name}, which is not shown again. A running server takes it at once.")


@token.command(name="list", cls=Command)
def list_(as_json: Json = False) -> None:
    """List who has a token, and what they may do; and the first entry that is wrong, with its line.

    Example: [bold]retold token list[/]
    """
    config = load()
    file = _file(config.http_tokens)
    document = read_document(file)
    entries = document.principal
    if as_json:
        for it in entries:
            json_line({name: value for name, value in msgspec.structs.asdict(it).items() if name != "sha256"})
    elif entries:
        columns = ("name", "publish", "read", "operate", "correct", "admin", "only")
        table(columns, [_row(it) for it in entries])
    else:
        talk("Nobody has a token.")
    principals_of(document, application(config), file)  # what is wrong is said below what is there


@token.command(cls=Command)
def revoke(name: Name) -> None:
    """Take somebody's token away; what it watches ends.

    Example: [bold]retold token revoke shop-web[/]
    """
    file = _file(load().http_tokens)
    replace_file(file, without_entry(text_of(file), name))
    talk(f"The token of {name} does not count any more: {displayed(file)} is written.")


def _file(file: Path | None) -> Path:
    if file is None:
        raise ConfigError(
            'there is no file of tokens: set RETOLD_HTTP_TOKENS, or http_tokens in [tool.retold], to a path such as "tokens.toml"'
        )
    return file


def _pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, colon, conditions = text.partition(":")
        if not (name and colon and conditions):
            raise WrongUsage(f"{option} is {text[:100]!r}; a name, a colon and conditions were expected")
        if name in found:
            raise WrongUsage(f"{option} names {name[:100]!r} twice: join its conditions with &")
        found[name] = conditions
    return found


def _row(it: TokenEntry) -> tuple[str, ...]:
    lists = [", ".join(each) for each in (it.publish, it.read, it.operate, it.correct)]
    return it.name, *lists, "yes" if it.admin else "", ", ".join(f"{name}: {text}" for name, text in it.only.items())
