"""What is for a guest is collected there alone, and what boots one in `make test-kernel` alone.

One guest for all tests: each begins with empty disks and no mapped device, and must leave none in the kernel.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.guest import Guest

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore = []
if not os.environ.get("CRYPTLV_GUEST"):
    collect_ignore += ["guest", "guest_udev"]
if not os.environ.get("CRYPTLV_TEST_KERNEL"):
    collect_ignore += ["test_exports.py", "test_run.py"]


@pytest.fixture
def guest() -> Iterator[Guest]:
    """The guest, cleaned up after the test."""
    folder = Path(tempfile.mkdtemp(prefix="g-"))
    machine = Guest(folder)
    yield machine
    machine.clean()
    shutil.rmtree(folder, ignore_errors=True)
    assert not list(Path("/sys/block").glob("dm-*"))
