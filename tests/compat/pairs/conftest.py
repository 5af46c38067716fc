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
    """Three disks of 40 MiB; a folder with a short name, as paths of sockets are limited."""
    folder = Path(tempfile.mkdtemp(prefix="clp-"))
    pair = Pair(folder)
    yield pair
    pair.close()
    shutil.rmtree(folder, ignore_errors=True)
