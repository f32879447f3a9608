"""Tables of which the code here has a generation of rows that is not there: nobody has built it, or not far enough."""

from __future__ import annotations

from collections.abc import Mapping

from streams.app import App
from streams.engine.generations import rows_there
from streams.kafka.table_generations import not_there
from streams.server.readmodel.store_readers import StoreReaders

THERE = "there"
"""The kind of position under which it is kept what a table says of its rows (`RowsThere`)."""


def unbuilt_tables(readers: StoreReaders, app: App) -> Mapping[str, str]:
    """By namespace a sentence: what is not there, what is, and what to do. Raises StoreAway and sqlite3.Error.

    Of rows that were read for another generation nothing is said: they are what they were.
    """
    generations, found = {it.name: it.generation for it in app.namespaces}, dict[str, str]()
    kept = "select ns, part, marker from position where kind = ? and marker is not null order by ns, part"
    with readers.borrow() as db:
        rows = db.execute(kept, (THERE,)).fetchall()
    for namespace, part, blob in rows:
        ours = generations.get(namespace, 0)
        there = rows_there(blob, ours)
        if namespace not in found and there.lack:
            found[namespace] = not_there(namespace, part, there, "the code of this server")
    return found
