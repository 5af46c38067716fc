"""Handlers are found by name: built-in ones by a table, others by their package; broken ones are named."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import HandlerUnavailable
from cryptlv.keys.registry import BUILT_IN, find_handler

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_handlers_are_found(name: str) -> None:
    assert find_handler(name).name == name


@pytest.mark.parametrize("name", ["acme", "", "../luks1", "a\x1b[31m"])
def test_others_are_named_in_the_error(name: str) -> None:
    with pytest.raises(HandlerUnavailable) as caught:
        find_handler(name)
    assert str(caught.value).isprintable()
    assert "plain, hashed, luks1, luks2" in str(caught.value)


def find_in_another_process(folder: Path, source: str, name: str) -> str:
    """What comes of looking for a handler of an installed package, whose module has `source`."""
    (folder / "acme_handler.py").write_text(source)
    info = folder / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[cryptlv.key_handlers]\nacme = acme_handler:Handler\n")
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "from cryptlv.keys.registry import find_handler\n"
        "from cryptlv.errors import HandlerUnavailable\n"
        f"try: print('found', find_handler({name!r}).name)\n"
        "except HandlerUnavailable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_installed_package_brings_a_handler(tmp_path: Path) -> None:
    assert find_in_another_process(tmp_path, "class Handler: name = 'acme'\n", "acme") == "found acme"


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("import nothing_of_that_name\n", "broken"),
        ("class Other: pass\n", "broken"),
        ("class Handler: name = 'x'\n", "calls itself"),
    ],
)
def test_a_broken_package_is_named_and_is_no_traceback(tmp_path: Path, source: str, word: str) -> None:
    said = find_in_another_process(tmp_path, source, "acme")
    assert "'acme'" in said
    assert word in said
