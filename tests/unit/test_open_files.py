"""How many files a worker's process may open."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from streams.cli.process.open_files import raise_open_files_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
raise_open_files_limit(3)
print("limit", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("soft", "hard", "then", "warned"), [(64, 900, 900, False), (64, 100, 100, True)])
def test_a_worker_may_open_what_the_system_allows(soft: int, hard: int, then: int, warned: bool) -> None:
    """Where that is too few for its namespaces it says so: Kafka's client would only say again and again that a socket failed."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(soft), str(hard)], capture_output=True, text=True, timeout=60)
    assert f"limit {then}" in done.stdout, done.stderr
    assert ("raise `ulimit -n`" in done.stdout + done.stderr) is warned
