"""What a real kernel's dm-crypt made of 64 KiB (tests/golden/dmcrypt), and its IVs as the tests compute them."""

from __future__ import annotations

import hashlib
import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

_GOLDEN = Path(__file__).parent.parent / "golden" / "dmcrypt"
TOP = 2**64


@cache
def kernel_cases() -> tuple[dict[str, Any], ...]:
    """Every case of the manifest, accepted by the kernel or refused."""
    with lzma.open(_GOLDEN / "manifest.jsonl.xz", "rt", encoding="utf-8") as file:
        return tuple(json.loads(line) for line in file.readlines()[1:])


@cache
def kernel_plaintext() -> bytes:
    """What the kernel encrypted."""
    data = (_GOLDEN / "plaintext.bin").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "eabdc63f4f2ec34c7a1fc0d04eeb373eda28e1646052d5c0be34be17cac51a82"
    return data


def kernel_key(bits: int) -> bytes:
    """The key of the vectors: SHA256(b"lab-key" + le64(i)) for i from 0, cut (first line of the manifest)."""
    pieces = (hashlib.sha256(b"lab-key" + number.to_bytes(8, "little")).digest() for number in range(bits // 256 + 1))
    return b"".join(pieces)[: bits // 8]


def plain_iv(kind: str, number: int, *, block_bytes: int = 16) -> bytes:
    """dm-crypt's IVs that need no cipher, as Documentation/admin-guide/device-mapper/dm-crypt.rst and cryptsetup's
    manual describe them."""
    if kind == "plain":
        return (number % 2**32).to_bytes(16, "little")
    if kind == "plain64":
        return (number % TOP).to_bytes(16, "little")
    if kind == "plain64be":
        return (number % TOP).to_bytes(16, "big")
    if kind == "benbi":
        return ((number * (512 // block_bytes) + 1) % TOP).to_bytes(16, "big")
    assert kind == "null"
    return bytes(16)
