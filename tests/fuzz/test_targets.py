"""The fuzzers' targets cannot rot: they run here over seeded mutations, and for some seconds under atheris."""

from __future__ import annotations

import platform
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.targets import TARGETS, seeds

ROOT = Path(__file__).parents[2]
ROUNDS = {
    "label": 400,
    "metadata_area": 120,
    "text": 120,
    "cipher_spec": 2000,
    "luks1": 400,
    "luks2": 300,
    "nbd": 500,
}
HAS_WHEELS = sys.version_info < (3, 15) and (platform.system(), platform.machine()) == ("Linux", "x86_64")
"""Where the test group of pyproject.toml has atheris."""


def mutated(source: random.Random, data: bytes) -> bytes:
    """Bytes overwritten, taken out or doubled in a few places."""
    out = bytearray(data)
    for _ in range(source.randint(1, 6)):
        place = source.randrange(len(out) or 1)
        kind = source.randrange(4)
        if kind == 0:
            out[place : place + 1] = source.randbytes(1)
        elif kind == 1:
            out[place : place + 8] = source.choice((bytes(8), b"\xff" * 8, bytes(7) + b"\x80"))
        elif kind == 2:
            del out[place : place + source.randrange(40)]
        else:
            out[place:place] = out[place : place + source.randrange(40)]
    return bytes(out)


@pytest.mark.parametrize("kind", TARGETS)
def test_targets_take_what_stock_wrote_and_anything_else(kind: str) -> None:
    source = random.Random(kind)
    corpus = seeds(kind)
    assert len(corpus) > 5
    for data in (*corpus, b"", b"\0" * 600, b"\xff" * 600):
        TARGETS[kind](data)
    for _ in range(ROUNDS[kind]):
        TARGETS[kind](mutated(source, source.choice(corpus)))


@pytest.mark.skipif(not HAS_WHEELS, reason="atheris has no wheels for this Python or machine")
@pytest.mark.parametrize("kind", TARGETS)
def test_atheris_runs_the_target(kind: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", f"fuzz.{kind}", "-max_total_time=3", "-seed=1", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr
    assert not list(tmp_path.iterdir()), "a crash was found"
