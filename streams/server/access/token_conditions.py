"""Conditions on rows and on events, as a principal's entry has them: `customer={sub}&status__in=paid,reserving`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from streams.data import Record
from streams.errors import ConfigError, InvalidQuery
from streams.query.filters import Filter
from streams.query.row_fields import fields_of
from streams.query_parameters import filters_of_texts

SUBJECT: Final = "{sub}"
NOT_OF_ONE: Final = ("__in", "__notin", "__isnull")
"""Operators whose value is not one text: a subject with a comma would be several."""


def conditions_of(text: str, record_type: type[Record], subject: str, where: str) -> Sequence[Filter]:
    """As in an address; `{sub}` is the subject, and has to be the whole of a value. Raises ConfigError."""
    given: dict[str, str] = {}
    try:
        for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=True):
            name, value = name.strip(), value.strip()
            if name in given:
                raise ConfigError(f"{where} names {name[:100]!r} twice; each was expected once")
            if SUBJECT in value and (value != SUBJECT or name.endswith(NOT_OF_ONE)):
                raise ConfigError(f"{where} has {name[:100]}={value[:100]}; {SUBJECT} alone, compared with one value, was expected")
            given[name] = subject if value == SUBJECT else value
        if not given:
            raise ValueError("no condition would let everything be seen")
        return filters_of_texts(given, fields_of(record_type))
    except InvalidQuery as error:
        raise ConfigError(f"{where}: {error}") from error
    except ValueError as error:  # of parse_qsl
        expected = f"conditions as in an address, such as customer={SUBJECT}, were expected"
        raise ConfigError(f"{where} is {text[:100]!r}; {expected}") from error
