"""Where no crypto library is installed everything that is metadata works, and the rest says what is missing (S30)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cryptlv
from support.machine import FAST, Machine

if TYPE_CHECKING:
    from support.machine import Result

PASSPHRASE = b"a passphrase\n"


class Bare:
    """The commands by a Python that has nothing but its standard library."""

    def __init__(self, machine: Machine, python: Path) -> None:
        self._machine = machine
        self._python = python
        machine.environ["PYTHONPATH"] = str(Path(cryptlv.__file__).parent.parent)

    def run(self, *words: str | Path, given: bytes = b"", expect: int = 0) -> Result:
        result = self._machine.tool(self._python, "-m", "cryptlv", *words, given=given, expect=expect)
        assert "Traceback" not in result.err, result.err
        return result


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty virtual environment."""
    folder = tmp_path_factory.mktemp("bare")
    words = [sys._base_executable, "-m", "venv", "--without-pip", folder]  # type: ignore[attr-defined]
    subprocess.run(words, check=True, capture_output=True)
    python = folder / "bin" / "python"
    for module in ("cryptography", "numpy", "mfusepy"):
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
        assert found.returncode == 1, f"{module} is there"
    return python


def test_all_that_is_metadata_works(vg0: Machine, python: Path) -> None:
    bare = Bare(vg0, python)
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l2", "-n", "secret", "vg0", given=PASSPHRASE)
    bare.run("lvcreate", "-l1", "-n", "plain", "vg0")
    (line,) = bare.run(
        "lvs", "--noheadings", "-o", "lv_name,crypt_handler,crypt_cipher,crypt_keysize", "vg0/secret"
    ).lines
    assert line.split() == ["secret", "luks2", "aes-xts-plain64", "512"]
    assert bare.run("lvs", "--noheadings", "-o", "crypt_keyslots", "vg0/secret").lines == ["0:pbkdf2"]
    bare.run("vgs")
    bare.run("lvextend", "-l+1", "vg0/secret")
    bare.run("lvrename", "vg0/secret", "vg0/hidden")
    bare.run("lvchange", "--addtag", "t", "vg0/hidden")
    bare.run("lvreduce", "-y", "-l-1", "vg0/hidden")
    bare.run("pvmove", "a.img", "b.img")
    bare.run("vgcfgbackup", "-f", "backup", "vg0")
    assert "crypto_store" in (vg0.folder / "backup").read_text()
    bare.run("vgck", "vg0")
    path = vg0.run("lvchange", "-ay", "vg0/hidden", given=PASSPHRASE).lines[-1]
    assert Path(path).exists()
    bare.run("lvchange", "-an", "vg0/hidden")
    bare.run("lvremove", "-f", "vg0")
    bare.run("vgremove", "vg0")
    bare.run("pvremove", "a.img", "b.img")


def test_what_needs_a_library_works_by_the_systems_own_or_says_what_to_install(vg0: Machine, python: Path) -> None:
    bare = Bare(vg0, python)
    bare.run("lvcreate", "--type", "crypt", *FAST, "-l1", "-n", "x", "vg0", given=PASSPHRASE)
    vg0.run("lvchange", "-ay", "vg0/x", given=PASSPHRASE)
    vg0.run("lvchange", "-an", "vg0/x")
    path = bare.run("lvchange", "-ay", "--backend", "nbd", "vg0/x", given=PASSPHRASE).lines[-1]
    assert path.endswith(".nbd")
    bare.run("lvchange", "-an", "vg0/x")
    result = bare.run("lvchange", "-ay", "--backend", "fuse", "vg0/x", given=PASSPHRASE, expect=5)
    (line,) = result.err.splitlines()
    assert "pip install 'cryptlv[fuse]'" in line
    adiantum = ("--cipher", "xchacha12,aes-adiantum-plain64", "--keysize", "256")
    words = ("lvcreate", "--type", "crypt", *FAST, *adiantum, "-l1", "-n", "y", "vg0")
    warned = bare.run(*words, given=PASSPHRASE)
    assert "its first 4 KiB are not zeroed" in warned.err
    result = bare.run("lvchange", "-ay", "vg0/y", given=PASSPHRASE, expect=5)
    for said in (warned, result):
        (line,) = said.err.splitlines()
        assert "pip install 'cryptlv[crypto]'" in line
