"""One guest for all tests: each begins with empty disks and no mapped device, and must leave none in the kernel."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.guest import Guest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def guest() -> Iterator[Guest]:
    """The guest, cleaned up after the test."""
    folder = Path(tempfile.mkdtemp(prefix="g-"))
    machine = Guest(folder)
    yield machine
    machine.clean()
    shutil.rmtree(folder, ignore_errors=True)
    assert not list(Path("/sys/block").glob("dm-*"))
