"""The work on Quix Streams, as its documentation writes it: a stateful dataframe, exactly once, state in RocksDB."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from fastavro import parse_schema, schemaless_reader
from quixstreams import Application, State

SCHEMA = parse_schema(json.loads(Path(os.environ["BENCH_SCHEMA"]).read_text()))

SESSION = {"session.timeout.ms": int(os.environ["BENCH_SESSION"]) * 1000} if "BENCH_SESSION" in os.environ else {}


def fold(value: bytes, state: State) -> None:
    body = io.BytesIO(value)
    body.seek(5)
    data = schemaless_reader(body, SCHEMA)
    row = state.get("row")
    state.set("row", {"email": data["email"], "plan": data["plan"], "n": (row["n"] if row else 0) + 1})


def main() -> None:
    app = Application(
        broker_address=os.environ["BENCH_BROKER"],
        consumer_group=os.environ["BENCH_NAME"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        state_dir=os.environ["BENCH_STATE"],
        consumer_extra_config=SESSION,
    )
    frame = app.dataframe(app.topic(os.environ["BENCH_INBOX"], key_deserializer="bytes", value_deserializer="bytes"))
    frame = frame.update(fold, stateful=True)
    frame.to_topic(app.topic(os.environ["BENCH_LOG"], key_serializer="bytes", value_serializer="bytes"))
    app.run()


if __name__ == "__main__":
    main()
