"""The walls of the house, from the syntax trees: imports go down only, and pure rooms touch nothing outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cryptlv

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(cryptlv.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

GROUND = frozenset(("errors", "units", "names", "secret", "record", "environment", "device", "libraries"))
MAY_IMPORT: dict[str, frozenset[str]] = {
    "ciphers": frozenset(("ciphers",)),
    "model": frozenset(("model",)),
    "segments": frozenset(("segments", "model")),
    "keys": frozenset(("keys", "ciphers")),
    "ondisk": frozenset(("ondisk", "segments", "model")),
    "report": frozenset(("report", "ondisk", "segments", "model")),
    "host": frozenset(("host", "ondisk", "segments", "model")),
    "activate": frozenset(("activate", "host", "model", "ciphers")),
    "ops": frozenset(("ops", "activate", "host", "report", "ondisk", "keys", "segments", "model", "ciphers")),
    "cli": frozenset(("cli", "ops", "report")),
}
"""For each room the rooms it may import, besides the ground floor."""
WITHOUT_SECRETS = ("model", "segments", "ondisk", "report")
PURE = ("model", "segments", "ondisk", "report", "ciphers", "keys")
IMPURE_MODULES = frozenset(
    (
        *(
            "os",
            "io",
            "socket",
            "subprocess",
            "ctypes",
            "fcntl",
            "mmap",
            "time",
            "random",
            "secrets",
            "uuid",
            "logging",
        ),
        *("pathlib", "tempfile", "shutil", "asyncio", "multiprocessing", "signal", "sys"),
    )
)
THIRD_PARTY = {"cryptography": ("ciphers",), "numpy": ("ciphers",), "mfusepy": ("activate",)}


def room(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else "ground"


def imports(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """(module, line, whether at the top of the file and not for types only)."""
    typing_only: set[int] = set()
    nested: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            typing_only.update(id(inner) for child in node.body for inner in ast.walk(child))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nested.update(id(inner) for inner in ast.walk(node))
    for node in ast.walk(tree):
        at_top = id(node) not in typing_only and id(node) not in nested
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or "", node.lineno, at_top


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_only(path: Path) -> None:
    here = room(path)
    for module, line, _ in imports(ast.parse(path.read_text())):
        words = module.split(".")
        if words[0] != "cryptlv" or len(words) == 1:
            continue
        target = words[1]
        where = f"{path.name}:{line} imports {module}"
        if here == "ground":
            assert target in GROUND or path.name == "__main__.py", where
        elif target in GROUND:
            assert target != "secret" or here not in WITHOUT_SECRETS, where
            assert target != "libraries" or here == "ciphers", where
        else:
            assert target in MAY_IMPORT[here], where


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in PURE], ids=lambda path: path.name)
def test_pure_rooms_import_nothing_of_the_world_and_open_and_print_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for module, line, _ in imports(tree):
        assert module.split(".")[0] not in IMPURE_MODULES, f"{path.name}:{line} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_third_party_packages_are_imported_in_their_room_and_not_by_what_every_command_loads(path: Path) -> None:
    for module, line, _ in imports(ast.parse(path.read_text())):
        word = module.split(".")[0]
        if word != "cryptlv" and word not in sys.stdlib_module_names:
            assert room(path) in THIRD_PARTY.get(word, ()), f"{path.name}:{line} imports {module}"


def test_every_room_is_known() -> None:
    assert {room(path) for path in FILES} == {"ground", *MAY_IMPORT}
    assert {path.stem for path in FILES if room(path) == "ground"} == GROUND | {"__init__", "__main__"}


def loaded_by(*words: str) -> set[str]:
    """The modules that a command imports."""
    code = (
        "import sys; from cryptlv.cli.main import main; main(sys.argv[1:]); "
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split("\n")[-1].split())


@pytest.mark.parametrize(
    "words",
    [
        ("--version",), ("help", "lvcreate"), ("lvs", "--devices", "/dev/null"),
        ("lvdisplay", "-m", "--devices", "/dev/null"), ("pvscan", "--devices", "/dev/null"),
    ],
)  # fmt: skip
def test_commands_that_need_no_key_load_no_crypto_and_nothing_heavy(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRYPTLV_SYSTEM_DIR", str(tmp_path))
    monkeypatch.setenv("CRYPTLV_RUN_DIR", str(tmp_path))
    loaded = loaded_by(*words)
    assert not loaded & {
        "cryptography", "numpy", "mfusepy", "typing", "dataclasses", "argparse", "logging", "pathlib", "asyncio",
        "inspect", "hmac", "subprocess", "socket", "json", "secrets", "uuid",
        "cryptlv.keys.luks1", "cryptlv.ciphers.bulk", "cryptlv.libraries",
    }  # fmt: skip
