"""What the key tests share: headers that cryptsetup 2.6.1 made, and what opens them."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

_GOLDEN = Path(__file__).parent.parent / "golden" / "luks"


class Sample:
    """One header: `facts` is its line of the manifest."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.image = lzma.decompress((_GOLDEN / facts["file"]).read_bytes())
        assert hashlib.sha256(self.image).hexdigest() == facts["sha256"]
        self.passphrases = {key["slot"]: bytes.fromhex(key["hex"]) for key in facts["keys"]}
        self.volume_key = bytes.fromhex(facts["volume_key"])


@pytest.fixture(scope="session")
def samples() -> dict[str, Sample]:
    """Every sample by name."""
    return {facts["name"]: Sample(facts) for facts in json.loads((_GOLDEN / "manifest.json").read_text())}
