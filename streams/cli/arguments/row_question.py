"""`--where`, `--sort` and `--count` of a command: the filters and the order that an address has, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import typer

from streams.cli.arguments.wrong_usage import WrongUsage, wrong_usage
from streams.data import Record
from streams.errors import InvalidQuery
from streams.query.query import Query, sorted_rows
from streams.query.row_fields import fields_of
from streams.query_parameters import filters_of_texts, sort_of

Where = Annotated[
    list[str] | None,
    typer.Option("--where", help="Show rows of which this holds, such as total__gte=100; may be repeated.", metavar="FIELD=VALUE"),
]
Sort = Annotated[
    str | None,
    typer.Option("--sort", help="Sort by at most three fields; - before one: the largest first.", metavar="FIELD,-FIELD"),
]
Count = Annotated[bool, typer.Option("--count", help="Show how many rows there are, and none of them.")]
Entries = Sequence[tuple[str, Record, int]]
"""Key, row, version."""


class RowQuestion(NamedTuple):
    """What was typed, not read yet: it is of the rows that the command's table has."""

    where: Sequence[str]
    sort: str | None
    counts: bool

    @property
    def is_asked(self) -> bool:
        return bool(self.where) or self.sort is not None or self.counts

    def refuse_for_one(self, what: str) -> None:
        """Raises WrongUsage where there is no table to choose rows of."""
        if self.is_asked:
            raise WrongUsage(f"{what}: it has no --where, --sort and --count, which are about the rows of a table")

    def query(self, row_type: type[Record]) -> Query:
        """Raises WrongUsage naming the field, its value and what was expected."""
        given: dict[str, str] = {}
        for text in self.where:
            name, sign, value = text.partition("=")
            if not sign or name in given:
                expected = "a field, =, and a value" if not sign else f"{name} once"
                raise WrongUsage(f"--where is {text[:80]!r}; {expected} was expected, such as total__gte=100")
            given[name] = value
        fields = fields_of(row_type)
        with wrong_usage(InvalidQuery):
            return Query(filters_of_texts(given, fields), () if self.sort is None else sort_of(self.sort, fields, "--sort"))

    def chosen(self, row_type: type[Record], entries: Iterable[tuple[str, Record, int]]) -> Entries:
        """The rows that are asked for; in the order that they come in, unless another one is asked for. Raises WrongUsage."""
        query = self.query(row_type)
        if self.sort is None:
            return [entry for entry in entries if query.holds(entry[0], entry[1])]
        versions = {key: (row, version) for key, row, version in entries}
        found = sorted_rows(((key, row) for key, (row, _) in versions.items()), query)
        return [(key, row, versions[key][1]) for key, row in found]
