"""Building: a wheel for every Python where there is a compiler, one without the native part where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build needs, in a folder of its own."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE", "src", "native", "tools"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def built(sources: Path, out: Path, **environ: str) -> tuple[zipfile.ZipFile, str]:
    """The wheel, and what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=sources, env={**os.environ, **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = out.iterdir()
    return zipfile.ZipFile(wheel), done.stdout + done.stderr


def test_a_wheel_with_the_native_part_is_for_every_python_of_the_machine(sources: Path, tmp_path: Path) -> None:
    wheel, _ = built(sources, tmp_path / "out")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert (wheel.filename or "").endswith(f"-cp311-abi3-{platform}.whl")
    wheel.extractall(tmp_path / "site")
    code = "from cryptlv.ciphers import _sectors; print(_sectors.Loop.__doc__, _sectors.__file__)"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Ciphers of a library over whole sectors; for one thread at a time. {tmp_path}")


def test_the_native_part_needs_nothing_but_c_and_the_stable_interface_of_python(
    sources: Path, tmp_path: Path
) -> None:
    """No library of ciphers, and no libpython."""
    wheel, _ = built(sources, tmp_path / "out")
    path = wheel.extract("cryptlv/ciphers/_sectors.abi3.so", tmp_path)
    data = Path(path).read_bytes()
    for word in (b"gcry", b"EVP_", b"libcrypto", b"libgcrypt", b"libpython"):
        assert word not in data


@pytest.mark.parametrize("compiler", ["none-such-compiler", "false"])
def test_without_a_compiler_the_wheel_is_pure_and_the_reason_is_said(
    sources: Path, tmp_path: Path, compiler: str
) -> None:
    wheel, said = built(sources, tmp_path / "out", CC=compiler)
    assert (wheel.filename or "").endswith("-py3-none-any.whl")
    assert not [name for name in wheel.namelist() if name.endswith(".so")]
    assert "cryptlv is built without its native part: " in said
    assert compiler in said
