"""The work on stock Faust, as its user guide writes it: an agent, a table in memory, a topic to send to."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import faust
from fastavro import parse_schema, schemaless_reader

SCHEMA = parse_schema(json.loads(Path(os.environ["BENCH_SCHEMA"]).read_text()))
SESSION = (
    {"broker_session_timeout": int(os.environ["BENCH_SESSION"]), "broker_heartbeat_interval": 2}
    if "BENCH_SESSION" in os.environ
    else {}
)

app = faust.App(
    os.environ["BENCH_NAME"],
    broker="kafka://" + os.environ["BENCH_BROKER"],
    datadir=os.environ["BENCH_STATE"],
    store="memory://",
    processing_guarantee="exactly_once",
    topic_partitions=4,
    topic_replication_factor=1,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    **SESSION,
)
AS_BYTES = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
inbox = app.topic(os.environ["BENCH_INBOX"], **AS_BYTES)
log = app.topic(os.environ["BENCH_LOG"], **AS_BYTES)
users = app.Table("users")


@app.agent(inbox)
async def signup(stream: Any) -> None:
    async for event in stream.events():
        body = io.BytesIO(event.value)
        body.seek(5)
        data = schemaless_reader(body, SCHEMA)
        user = data["user"]
        row = users.get(user)
        users[user] = {"email": data["email"], "plan": data["plan"], "n": (row["n"] if row else 0) + 1}
        await log.send(key=event.key, value=event.value, headers=event.headers)


if __name__ == "__main__":
    app.main()
