"""A past that was corrected, of which events were erased: what is told is what is told with all events, or it is refused.

The number of cases is CORRECTION_CASES (15 unless it is set).
"""

from __future__ import annotations

import random
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from streams.errors import BeforeHistory, HistoryError
from streams.history.correction.decided_corrections import DecidedCorrections
from streams.history.cut_past import Cut
from streams.history.past_tables import PastTables
from streams.history.stored.stored_corrections import counted_at
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_rows import StoredRows
from streams.server.readmodel.past_store import PastStore
from streams.server.readmodel.store import Store
from tests.support.corrections import Corrected
from tests.support.stored_pasts import END, put_high_water, stored
from tests.unit.test_corrected_times import as_told, corrected_and_gone_on, kept
from tests.unit.test_corrections import cases, many


def erase_some(chosen: random.Random, here: Corrected, store: Store) -> None:
    writer = store.writer()
    for it in chosen.sample([*here.log.events()], chosen.choice([1, 1, 2])):
        writer.erase_record(*it.order[1:4], it.key)
    writer.commit()


@many
@given(*cases, st.booleans())
@example("permits", 61, False)
@example("permits", 143, False)
@example("permits", 154, True)
@example("shop", 334, True)
@example("bank", 201, True)
def test_nothing_is_told_otherwise_than_with_all_events(kind: str, seed: int, known: bool) -> None:
    """Rows, tables and projections, as of any time, as any was known: an erased event leaves them as they were, or untold.

    It was erased once its high-water time was known, or before.
    """
    chosen, here, known_from = corrected_and_gone_on(kind, seed)
    moments = [*(it.high or 0 for it in here.log.events()), *(it.order.recorded for it in here.log.events())]
    with tempfile.TemporaryDirectory() as folder, closing(stored(here.there, Path(folder))) as store:
        if known:
            store.write(lambda db: put_high_water(db, END))
        erase_some(chosen, here, store)
        store.write(lambda db: put_high_water(db, END))
        decided = DecidedCorrections()
        for _ in range(4):
            cut = Cut(chosen.choice(moments), chosen.choice([*known_from, chosen.choice(moments), END]))
            past = StoredPast(store._db, here.there.codec)
            try:
                found = counted_at(past, cut, here.handlers, kept(here, known_from), here.there.codec, decided)
            except HistoryError:
                continue
            rows = StoredRows(past, cut, here.handlers, None, found)
            with PastStore(here.there.app, here.there.codec, rows) as told:
                assert_same_or_refused(told, as_told(here, known_from, cut), here)


def assert_same_or_refused(told: PastStore, wanted: PastTables, here: Corrected) -> None:
    for space in here.there.app.namespaces:
        table = wanted.table(space.name)
        for key in {it.key for it in here.past.events() if it.namespace == space.name}:
            with suppress(BeforeHistory):
                assert told.entry(space.name, key)[0] == table.entry(key)[0]
        found = dict(told.table(space.name).items())  # first: what cannot be folded is known once it was read
        assert found == {key: row for key, row in table.told.items() if key not in told.untold(space.name)}
    for projection in here.there.app.projections:
        with suppress(HistoryError):
            assert dict(told.table(projection.name).items()) == wanted.projections[projection.name]
