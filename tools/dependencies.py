"""Print the requirements of dependency groups in pyproject.toml, for versions of pip that cannot read them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement


def main() -> None:
    """One requirement a line, those that are for this machine; the groups are the arguments."""
    with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
        groups = tomllib.load(file)["dependency-groups"]
    for group in sys.argv[1:]:
        for requirement in map(Requirement, groups[group]):
            if requirement.marker is None or requirement.marker.evaluate():
                print(f"{requirement.name}{requirement.specifier}")


if __name__ == "__main__":
    main()
