"""Who asks the past in a running server's file is told of one moment of it, and does not hold the server up."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from streams.history.recorded_event import RecordedEvent
from streams.history.stored.past_file import HistoryFile
from streams.history.stored.stored_past import StoredPast
from streams.server.readmodel.store import Store
from tests.support.pasts import made, past_of
from tests.support.stored_pasts import END, stored


def erase(store: Store, gone: RecordedEvent) -> None:
    writer = store.writer()
    writer.erase_record(*gone.order[1:4], gone.key)
    writer.commit()


def test_an_event_that_is_erased_meanwhile_is_still_there(tmp_path: Path) -> None:
    """Else a row would be told of half its events: that none is gone is asked before they are read. Who opens it later knows."""
    _, there = made("bank", 5)
    events = [*past_of(there).events()]
    gone = events[0]
    with closing(stored(there, tmp_path)) as store:
        source = HistoryFile(store.file, END)
        with closing(source.connect()) as db:
            past = StoredPast(db, there.codec)
            assert past.first_erased(gone.place) is None
            erase(store, gone)
            assert [it.order for it in past.key_events(gone.place)] == [it.order for it in events if it.place == gone.place]
            assert past.first_erased(gone.place) is None
        with closing(source.connect()) as db:
            assert StoredPast(db, there.codec).first_erased(gone.place) is not None


def test_what_is_erased_waits_for_nobody_who_reads_for_long(tmp_path: Path) -> None:
    """It is out of the journal at the next commit after that, and the commits between are not held up."""
    _, there = made("bank", 5)
    first, second, third, *_ = past_of(there).events()
    with closing(stored(there, tmp_path)) as store:
        store._db.execute("pragma busy_timeout=30000")
        writer, journal = store.writer(), Path(f"{store.file}-wal")
        with closing(HistoryFile(store.file, END).connect()) as db:
            assert db.execute("select count(*) from record").fetchone() != (0,)
            began = time.monotonic()
            for it in (first, second):
                writer.erase_record(*it.order[1:4], it.key)
                writer.commit()
            assert time.monotonic() - began < 20
            assert journal.stat().st_size > 0
        writer.erase_record(*third.order[1:4], third.key)
        writer.commit()
        assert journal.stat().st_size == 0
