"""Avro's numbers: zig-zag, then groups of seven bits, the lowest first; a set top bit says that another one follows.

A time in microseconds takes eight groups (from 1978 to 3111), and most events carry one: eight are spread or gathered
at once by moving halves, quarters and eighths apart or together, in half the time of the loop.
"""

from __future__ import annotations

from typing import Final

SMALL: Final = [bytes((n,)) for n in range(128)]
EIGHT_LOW, EIGHT_HIGH = 1 << 49, 1 << 56
FOLLOWED: Final = 0x0080808080808080
"""The top bits of eight groups of which the last one ends the number."""
TOP_BITS: Final = 0x8080808080808080


def write_long(number: int) -> bytes:
    """For -2**63 to 2**63 - 1; the caller has checked that."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    if rest < 128:
        return SMALL[rest]
    if EIGHT_LOW <= rest < EIGHT_HIGH:
        rest = rest & 0x0000_0000_0FFF_FFFF | (rest & 0x00FF_FFFF_F000_0000) << 4
        rest = rest & 0x0000_3FFF_0000_3FFF | (rest & 0x0FFF_C000_0FFF_C000) << 2
        rest = rest & 0x007F_007F_007F_007F | (rest & 0x3F80_3F80_3F80_3F80) << 1
        return (rest | FOLLOWED).to_bytes(8, "little")
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def read_long(buffer: bytes, at: int) -> tuple[int, int]:
    """The number and the position after it. IndexError past the end, ValueError above 64 bits."""
    byte = buffer[at]
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at + 1
    second = buffer[at + 1]
    if second < 128:
        return (byte & 127 | second << 7) >> 1 ^ -(byte & 1), at + 2
    return read_eight(buffer, at)


def read_eight(buffer: bytes, at: int) -> tuple[int, int]:
    """The same, quickest for a number of eight groups."""
    rest = int.from_bytes(buffer[at : at + 8], "little")
    if rest & TOP_BITS != FOLLOWED or rest < EIGHT_HIGH:
        return _read_groups(buffer, at)
    rest = rest & 0x007F_007F_007F_007F | (rest & 0x7F00_7F00_7F00_7F00) >> 1
    rest = rest & 0x0000_3FFF_0000_3FFF | (rest & 0x3FFF_0000_3FFF_0000) >> 2
    rest = rest & 0x0000_0000_0FFF_FFFF | (rest & 0x0FFF_FFFF_0000_0000) >> 4
    return rest >> 1 ^ -(rest & 1), at + 8


def _read_groups(buffer: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while (byte := buffer[at]) > 127:
        number |= (byte & 127) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    number |= byte << shift
    if number >> 64:
        raise ValueError("a number of more than 64 bits")
    return number >> 1 ^ -(number & 1), at + 1
