"""House rules that a reader would otherwise have to check: sizes, a test file for each source file, words."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

import cryptlv

ROOT = Path(__file__).parent.parent
SOURCE = Path(cryptlv.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.split("\n")
    if name and (ROOT / name).is_file()
]  # fmt: skip
WITHOUT_OWN_TEST = {"__init__.py", "__main__.py", "device.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_stay_short_and_public_things_are_described(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 600
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file says what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno <= 70, node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} is not described"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_source_file_has_a_test_file_of_its_name(path: Path) -> None:
    if path.name in WITHOUT_OWN_TEST:
        return
    relative = path.relative_to(SOURCE)
    assert (ROOT / "tests" / relative.parent / f"test_{path.name}").is_file()


def test_nothing_that_is_kept_names_a_machine_or_a_registry() -> None:
    words = re.compile(rb"/work/|/root/|/opt/pypi|simple/|--index-url|extra-index", re.IGNORECASE)
    for path in TRACKED:
        if path == Path(__file__) or path.suffix in (".xz", ".bin", ".img"):
            continue
        found = words.search(path.read_bytes())
        assert found is None, f"{path}: {found and found.group()!r}"
    assert not (ROOT / "uv.lock").exists()


def test_no_test_is_skipped_for_good_and_no_work_is_left_in_comments() -> None:
    for path in TRACKED:
        if path.suffix == ".py" and path != Path(__file__):
            text = path.read_text()
            assert not re.search(r"\b(TODO|FIXME|XXX)\b|mark\.skip\(|unittest\.mock|monkeypatch\.setattr", text), path
