"""The header Accept: which media types a client takes, and how much it likes each."""

from __future__ import annotations


def weights(accept: str) -> list[tuple[str, float]]:
    """In the order in which they are named, in lower case; a weight that is no number is 0."""
    found = []
    for part in accept.lower().split(","):
        kind, *parameters = (it.strip() for it in part.split(";"))
        weight = next((it[2:].strip() for it in parameters if it.startswith("q=")), "1")
        found.append((kind, _number(weight)))
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
