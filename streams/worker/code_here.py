"""The code of a worker, beside the code that has kept its rows so far: changed handlers leave rows as they were."""

from __future__ import annotations

import structlog

from streams.engine.image import Image

log = structlog.get_logger("retold.worker")


class CodeHere:
    """`digest` is that of the code; empty: it is not known. Used by the threads that restore a namespace's partitions."""

    def __init__(self, digest: str, namespace: str, generation: int) -> None:
        self.digest, self._namespace, self._generation = digest, namespace, generation
        self._told = False

    def goes_on_with(self, image: Image) -> None:
        """Note whose code goes on with these rows. That it is another one than before is said once: rows do not change for it."""
        image.rows_code = self.digest
        if image.switches or not self.digest or image.code in ("", self.digest) or self._told:
            return
        self._told = True
        log.warning(
            f"the code of {self._namespace} has changed, and its rows are of generation {self._generation} as before: what is "
            "handled from now on is handled by this code, and what it would have made of earlier events is not in them. `retold "
            f"replay` says whether that is anything else. For rows as this code makes them, give {self._namespace} the generation "
            f"{self._generation + 1}, and run `retold rebuild start {self._namespace}`"
        )
