"""Fuzz: nbd, see nbd_targets.py."""

from __future__ import annotations

from fuzz.run import run

if __name__ == "__main__":
    run("nbd")
