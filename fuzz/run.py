"""What the targets share: instrument the program, lay out the corpus, hand over to libFuzzer.

python -m fuzz.text [-max_total_time=60] [-artifact_prefix=FOLDER/] [other options of libFuzzer] [corpus folders]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris


def run(kind: str) -> None:
    """Fuzz one target until libFuzzer ends the process; what breaks it is written to the current folder."""
    with atheris.instrument_imports(include=["cryptlv"]):
        from fuzz.targets import TARGETS, seeds
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{kind}-") as folder:
        for number, data in enumerate(seeds(kind)):
            (Path(folder) / str(number)).write_bytes(data)
        options = [
            "-timeout=20",
            "-rss_limit_mb=1024",
            *(["-max_len=65536"] if kind not in ("label", "cipher_spec") else ["-max_len=512"]),
        ]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], TARGETS[kind])
        atheris.Fuzz()
