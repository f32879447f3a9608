"""The quick way of reading CSV and TSV, for records that are plainly right; streams/eventfiles/delimited.py reads all others.

It gives what the careful reader gives, or None. Python's csv reads quoted fields in C. It cannot be made strict, but it need
not be: one regular expression says beforehand whether the record is CSV as RFC 4180 has it, and then there is one reading.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable

from streams.eventfiles.raw_lines import RawLines
from streams.eventfiles.row import BOM

Quick = Callable[[bytes, RawLines], list[str] | None]
"""The fields of a record that begins with this line; None if it is not plainly right: then no other line was read."""

LONGEST = 64 * 1024
"""Bytes of a record here. It is below the most that the csv module takes of a field."""

FIELD = r'(?:"[^"]*+(?:""[^"]*+)*+"|[^",\r\n]*+)'
RECORD = re.compile(f"{FIELD}(?:,{FIELD})*+")
"""Never steps back, so that no text makes it slow."""


def quick_tsv(raw: bytes, lines: RawLines) -> list[str] | None:
    return _unquoted(raw, "\t") if len(raw) <= LONGEST and len(raw) <= lines.limit else None


def quick_csv(raw: bytes, lines: RawLines) -> list[str] | None:
    size, most = len(raw), min(LONGEST, lines.limit)
    if size > most:
        return None
    if b'"' not in raw:
        return _unquoted(raw, ",")
    read, quotes = [raw], raw.count(b'"')
    while quotes % 2 and size <= most:  # a quoted field goes on in the next line
        more = lines.next()
        if not more:
            break
        read.append(more)
        quotes += more.count(b'"')
        size += len(more)
    cells = None if quotes % 2 or size > most else _quoted(b"".join(read))
    if cells is None:
        for line in reversed(read[1:]):
            lines.put_back(line)
    return cells


def _quoted(raw: bytes) -> list[str] | None:
    text = _text(_without_end(raw))
    if text is None or RECORD.fullmatch(text) is None:
        return None
    try:
        return next(csv.reader((text,), strict=True))
    except csv.Error:  # somebody has set its limit of a field's size
        return None


def _unquoted(raw: bytes, separator: str) -> list[str] | None:
    body = _without_end(raw)
    if b"\r" in body:
        return None
    text = _text(body)
    return text.split(separator) if text else None  # an empty line is no record


def _without_end(raw: bytes) -> bytes:
    if raw.endswith(b"\r\n"):
        return raw[:-2]
    return raw[:-1] if raw.endswith(b"\n") else raw


def _text(body: bytes) -> str | None:
    if b"\0" in body or body.startswith(BOM):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
