"""Disks in two copies, one for stock lvm2 and one for ours."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Three disks of 40 MiB."""
    yield from _pair(40)


@pytest.fixture
def big_pair() -> Iterator[Pair]:
    """Three disks of 200 MiB, room for a volume of each kind."""
    yield from _pair(200)


def _pair(mib: int) -> Iterator[Pair]:
    """A folder with a short name, as paths of sockets are limited."""
    folder = Path(tempfile.mkdtemp(prefix="clp-"))
    pair = Pair(folder, (mib, mib, mib))
    yield pair
    pair.close()
    shutil.rmtree(folder, ignore_errors=True)
