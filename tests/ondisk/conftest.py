"""Stock lvm2's images and texts for the tests of the on-disk codecs."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "lvm2"


@pytest.fixture(scope="session")
def expected() -> Callable[[str], dict[str, Any]]:
    """What stock's tools said of a case."""

    def load(case: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((GOLDEN / case / "expected.json").read_text())
        return found

    return load


@pytest.fixture(scope="session")
def disk_bytes() -> Callable[[str, str, int, int], bytes]:
    """A range of the bytes of an image (case, image, offset, length)."""

    def read(case: str, image: str, offset: int, length: int) -> bytes:
        with lzma.open(GOLDEN / case / f"{image}.xz") as disk:
            disk.seek(offset)
            return disk.read(length)

    return read
