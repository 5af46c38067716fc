"""What the key tests share: headers made by cryptsetup 2.6.1, and the installed cryptsetup itself."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Callable

_GOLDEN = Path(__file__).parent.parent / "golden" / "luks"
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@pytest.fixture
def env() -> Environment:
    """The world as it is."""
    return Environment(now=0, random_bytes=os.urandom, monotonic=time.monotonic, hostname="test")


@pytest.fixture(scope="session")
def samples() -> dict[str, dict[str, Any]]:
    """By name, what cryptsetup said of each LUKS1 header, and its bytes under `image`."""
    found = {}
    for entry in json.loads((_GOLDEN / "manifest.json").read_text(encoding="utf-8")):
        image = lzma.decompress((_GOLDEN / entry["file"]).read_bytes())
        assert hashlib.sha256(image).hexdigest() == entry["sha256"]
        found[entry["name"]] = {**entry, "image": image}
    return found


@pytest.fixture
def cryptsetup() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs stock cryptsetup with its arguments; a test that needs it is left out where it is not installed, and
    fails in CI."""
    program = shutil.which("cryptsetup", path=_PATH)
    if program is None and os.environ.get("CI"):
        pytest.fail("cryptsetup is not installed")
    if program is None:
        pytest.skip("cryptsetup is not installed")

    def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        environ = {**os.environ, "LC_ALL": "C"}
        words = [program, "--batch-mode", *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, check=False, env=environ, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            pytest.fail(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")
        return done

    return run


@pytest.fixture
def stock_opens(
    cryptsetup: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> Callable[[Path, bytes], int]:
    """The exit status of `cryptsetup open --test-passphrase`: 0 when the passphrase opens it, 2 when it does not."""

    def opens(image: Path, passphrase: bytes) -> int:
        key_file = tmp_path / "try.key"
        key_file.write_bytes(passphrase)
        return cryptsetup("open", "--test-passphrase", "--key-file", key_file, image, check=False).returncode

    return opens


@pytest.fixture
def stock_volume_key(
    cryptsetup: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> Callable[[Path, bytes], bytes]:
    """The volume key that `cryptsetup luksDump --dump-volume-key` shows."""

    def dump(image: Path, passphrase: bytes) -> bytes:
        key_file = tmp_path / "dump.key"
        key_file.write_bytes(passphrase)
        option = "--dump-volume-key"
        if option.encode() not in cryptsetup("--help").stdout:
            option = "--dump-master-key"  # before cryptsetup 2.4
        text = cryptsetup("luksDump", option, "--key-file", key_file, image).stdout.decode()
        return bytes.fromhex(text.partition("MK dump:")[2])

    return dump
