"""Print the oldest version of each dependency that pyproject.toml allows, as constraints for pip.

Usage: python tools/oldest_versions.py > oldest.txt; pip install -c oldest.txt .

Needs nothing but Python: it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def constraints(requirements: list[str]) -> list[str]:
    """Turn name>=1.2 into name==1.2.*, so that the last fix of the oldest release is taken."""
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in requirements]
    if wrong := [line for line, match in zip(requirements, found, strict=True) if match is None]:
        raise SystemExit(f"pyproject.toml: expected name>=version, got {wrong[0]}")
    return [f"{match[1]}=={match[2]}.*" for match in found if match]


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(*constraints(project["dependencies"]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
