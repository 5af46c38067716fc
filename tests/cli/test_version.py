"""version --engines: what is in use, and why not, where something is missing."""

from __future__ import annotations

import subprocess
import sys

from cryptlv import __version__
from cryptlv.cli.main import main
from cryptlv.ops.engines import SPECS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pytest

_WITHOUT = """
import sys
sys.modules["cryptlv.ciphers._sectors"] = sys.modules["numpy"] = None
import cryptlv.libraries as libraries
libraries._GCRYPT_SONAMES = ("libgcrypt.so.none",)
from cryptlv.cli.main import main
sys.exit(main(["version", "--engines"]))
"""


def test_the_engines_are_told_with_versions_and_speeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--engines"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0] == f"  cryptlv {__version__}"
    assert [line.split()[0] for line in lines[1:4]] == ["libgcrypt", "openssl", "numpy"]
    assert all(line.split()[1][0].isdigit() for line in lines[1:4])
    table = [line.split() for line in lines[7:-1]]
    assert [(words[0], int(words[1])) for words in table] == list(SPECS)
    assert all(words[2] in ("libgcrypt", "openssl", "numpy") for words in table)


def test_without_the_option_only_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"  cryptlv {__version__}\n"


def test_what_is_missing_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n")
    assert lines[1] == lines[2].replace("openssl  ", "libgcrypt")
    assert lines[1].endswith("install a C compiler and Python's headers, then install cryptlv again")
    assert lines[3].endswith("not used: this engine needs the Python package numpy: pip install 'cryptlv[crypto]'")
    assert [line.split()[2:] for line in lines[7:-1]] == [["none"]] * len(SPECS)
