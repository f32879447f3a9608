"""The small file system of a chaos run, in a process that may mount one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from tests.chaos.small_disk import SmallDisk, can_mount, with_own_mounts

folder = Path(sys.argv[1])
if not can_mount():
    print("none")
    sys.exit()
with SmallDisk(folder, 2) as disk:
    kept = folder / "kept"
    kept.write_bytes(b"before")
    disk.fill()
    try:
        (folder / "more").write_bytes(b"x")
    except OSError as error:
        print(error.strerror)
    disk.free()
    (folder / "more").write_bytes(b"x")
    print(kept.read_text())
print(sorted(path.name for path in folder.iterdir()), (folder / "kept").read_text())
"""


def test_a_full_disk_is_full_until_it_is_freed(tmp_path: Path) -> None:
    """What was there before stays, nothing is mounted for others, and what it had is left when it is taken away."""
    folder = tmp_path / "disk"
    begin = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.chaos.small_disk import with_own_mounts\n"
    file = tmp_path / "small_disk_program.py"
    file.write_text(PROGRAM)
    words = ["small_disk_program", str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", f"{begin}with_own_mounts({words!r})\nprint('none')"],
        cwd=tmp_path, env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    if done.stdout == "none\n":
        pytest.skip("this machine lets nobody mount a file system")
    assert done.stdout.splitlines() == ["No space left on device", "before", "['kept', 'more'] before"]
