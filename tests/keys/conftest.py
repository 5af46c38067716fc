"""What the key tests share: images that cryptsetup 2.6.1 made, and what opens them."""

from __future__ import annotations

import hashlib
import json
import lzma
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.errors import CipherError

_GOLDEN = Path(__file__).parent.parent / "golden" / "luks"


def has_cipher(spec: str) -> bool:
    """Whether the engine knows a cipher specification."""
    try:
        parse_cipher_spec(spec)
    except CipherError:
        return False
    return True


class Sample:
    """One image: `facts` is its entry of the manifest."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.passphrases = {key["slot"]: bytes.fromhex(key["hex"]) for key in facts["keys"] if "slot" in key}
        self.volume_key = bytes.fromhex(facts.get("volume_key", ""))

    def _read(self, name: str, sha256: str) -> bytes:
        data = lzma.decompress((_GOLDEN / name).read_bytes())
        assert hashlib.sha256(data).hexdigest() == sha256
        return data

    @cached_property
    def _files(self) -> list[bytes]:
        return [self._read(entry["file"], entry["sha256"]) for entry in self.facts["files"]]

    @property
    def image(self) -> bytes:
        """The header, and what follows it."""
        return self._files[-1]

    @property
    def payload(self) -> bytes:
        """The encrypted data."""
        start = self.facts["payload_offset"]
        return self._files[0][start : start + self.facts["payload_size"]]


@pytest.fixture(scope="session")
def samples() -> dict[str, Sample]:
    """Every sample by name."""
    return {facts["name"]: Sample(facts) for facts in MANIFEST}


MANIFEST: list[dict[str, Any]] = json.loads((_GOLDEN / "manifest.json").read_text())


def names(kind: str, *, whole: bool = False) -> list[str]:
    """The names of the samples of a format, those with a payload only where `whole`."""
    return [
        facts["name"] for facts in MANIFEST if facts["format"] == kind and (not whole or "plaintext_sha256" in facts)
    ]
