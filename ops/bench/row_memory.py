"""`python -m ops.bench.row_memory ROWS`: MB that a worker's process grows by for 1,000,000 rows of the demonstration's users.

They are decoded from what the table holds, as a restore does it.
"""

from __future__ import annotations

import gc
import sys

from ops.bench.branch_memory import resident
from ops.bench.read_model import row
from processors import app
from streams.codec import codec_of
from streams.engine.engine import Engine


def main(rows: int) -> None:
    application = app()
    engine = Engine(application, "user", codec_of(application))
    codec, image = engine.codec, engine.image()
    for number in range(1_000):
        codec.decode_row(engine.row_type, codec.encode_row(row(number, 1)))
    gc.collect()
    before = resident()
    for number in range(rows):
        image.rows[f"u{number}"] = (codec.decode_row(engine.row_type, codec.encode_row(row(number, 1))), number)
    print((resident() - before) / 1024 / rows * 1_000_000)


if __name__ == "__main__":
    main(int(sys.argv[1]))
