"""What the cipher tests share."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

_GOLDEN = Path(__file__).parent.parent / "golden" / "dmcrypt"


@pytest.fixture(scope="session")
def kernel_plaintext() -> bytes:
    """The 64 KiB that the kernel encrypted."""
    data = (_GOLDEN / "plaintext.bin").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "eabdc63f4f2ec34c7a1fc0d04eeb373eda28e1646052d5c0be34be17cac51a82"
    return data
