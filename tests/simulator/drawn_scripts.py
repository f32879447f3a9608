"""Scripts that Hypothesis draws: mostly what a program does that knows the order of calls, at times what is out of order."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.simulator.script import (
    IDS,
    MEMBERS,
    PARTITIONS,
    Abort,
    Begin,
    Commit,
    Committed,
    Delete,
    Ends,
    Init,
    Join,
    Know,
    Leave,
    Offsets,
    Operation,
    Produce,
    Publish,
    Read,
    Script,
)

LONGEST = 16
PARTITION = st.integers(0, PARTITIONS - 1)
PRODUCER = st.integers(0, len(IDS) - 1)
MEMBER = st.integers(0, MEMBERS - 1)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """A group's members join first, where there are any: each change of a group takes a real one some time."""
    found: Script = []
    if draw(st.booleans()):
        found += [Join(0), Know(0)]
        if draw(st.booleans()):
            found += [Join(1), Know(draw(MEMBER))]
    grouped = bool(found)
    found.append(Init(draw(PRODUCER)))
    following = st.sampled_from([*FOLLOWING, *OF_GROUPS] if grouped else FOLLOWING)
    for _ in range(draw(st.integers(2, LONGEST))):
        found += draw(following)(draw, found)
    return found


def _made(draw: st.DrawFn, so_far: Script) -> int:
    """A producer that is there."""
    return draw(st.sampled_from(sorted({it.producer for it in so_far if isinstance(it, Init)})))


def _record(draw: st.DrawFn, producer: int, so_far: Script) -> Operation:
    """Its value says where in the script it is."""
    return Produce(producer, draw(PARTITION), "k", f"v{len(so_far)}", draw(st.integers(0, 9)) == 0)


def _transaction(draw: st.DrawFn, so_far: Script) -> Script:
    """Its beginning, and maybe its end."""
    number = _made(draw, so_far)
    records = [_record(draw, number, so_far) for _ in range(draw(st.integers(0, 2)))]
    return [Begin(number), *records, *draw(st.sampled_from([[], [Commit(number)], [Abort(number)]]))]


def _offsets(draw: st.DrawFn, so_far: Script) -> Script:
    return [Offsets(_made(draw, so_far), draw(MEMBER), draw(PARTITION), draw(st.integers(0, 9)))]


def _change(draw: st.DrawFn, _: Script) -> Script:
    member = draw(MEMBER)
    return draw(st.sampled_from([[Join(member), Know(member)], [Leave(member)], [Join(member)], [Know(member)]]))


Following = Callable[[st.DrawFn, Script], Script]
FOLLOWING: list[Following] = [
    _transaction,
    _transaction,
    lambda draw, so_far: [_record(draw, _made(draw, so_far), so_far)],
    lambda draw, so_far: [Commit(_made(draw, so_far))],
    lambda draw, so_far: [Abort(_made(draw, so_far))],
    lambda draw, _: [Init(draw(PRODUCER))],
    lambda draw, so_far: [Publish(draw(PARTITION), "p", draw(st.sampled_from([None, f"v{len(so_far)}"])))],
    lambda draw, _: [Read(draw(PARTITION), draw(st.booleans()), draw(st.none() | st.integers(0, 6)))],
    lambda draw, _: [Ends(draw(PARTITION))],
    lambda draw, _: [Delete(draw(PARTITION), draw(st.integers(0, 6)))],
]
OF_GROUPS: list[Following] = [
    _offsets, _offsets, _change, lambda draw, _: [Committed(draw(PARTITION))],
]  # fmt: skip
