"""The health of the service `worker`: exit code 0 if every partition of every namespace has a worker, else 1 and which.

It tells of the application and not of one container: if one of three workers hangs, the others take its partitions, and
all is well. That a container's process is there is what its restart policy looks after.
"""

import json
import signal
import subprocess
import sys
from typing import Any

SECONDS = 25


def unhandled(status: dict[str, Any]) -> list[str]:
    """Sentences about `retold status --json`."""
    found = []
    for space in status["namespaces"]:
        if not space["partitions"]:
            found.append(f"{space['name']} has no topics yet")
        found += [f"nobody handles {space['name']}-{it['partition']}" for it in space["partitions"] if not it["owner"]]
    return found


def main() -> int:
    asked = subprocess.run(["retold", "status", "--json"], stdout=subprocess.PIPE, timeout=SECONDS, check=False)
    if asked.returncode < 0:
        print(f"retold status was ended by {signal.Signals(-asked.returncode).name}")
    if asked.returncode != 0:
        return 1  # it has said why
    problems = unhandled(json.loads(asked.stdout))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
