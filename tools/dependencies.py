"""Print the requirements of dependency groups in pyproject.toml, for versions of pip that cannot read them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """One requirement a line; the groups are the arguments."""
    with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
        groups = tomllib.load(file)["dependency-groups"]
    for group in sys.argv[1:]:
        for requirement in groups[group]:
            print(requirement.replace(" ", ""))


if __name__ == "__main__":
    main()
