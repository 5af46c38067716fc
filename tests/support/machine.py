"""A user's machine: directories of its own, image files, and the `cryptlv` command run as a program."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

KEY_BITS = 512
FAST = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")


class Result:
    """What a command printed, as bytes and as text, and its exit status."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.out.splitlines()]


def need(*programs: str) -> None:
    """Leave a test out when a program is not installed; fail instead where everything must be (CI)."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def need_root() -> None:
    """Leave a test out when it does not run as root with loop devices; fail instead in CI."""
    if os.geteuid() == 0 and os.path.exists("/dev/loop-control"):
        return
    if os.environ.get("CI"):
        pytest.fail("needs root and loop devices")
    pytest.skip("needs root and loop devices")


class Machine:
    """Runs commands in a folder, with a system and a run directory of its own; `prefix` goes before each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix: tuple[str, ...] = ()
        self.environ = {
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
            "HOME": str(folder),
            "CRYPTLV_SYSTEM_DIR": str(folder / "system"),
            "CRYPTLV_RUN_DIR": str(folder / "run"),
            "LVM_SUPPRESS_FD_WARNINGS": "1",
            "LC_ALL": "C.UTF-8",
        }

    def image(self, name: str, mib: int = 32) -> Path:
        """An empty image file."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(mib * 1024 * 1024)
        return path

    def tool(self, *words: str | Path, given: bytes = b"", expect: int | None = 0) -> Result:
        """Run any program here; `expect` is the exit status, None for any."""
        done = subprocess.run(
            [*self.prefix, *map(str, words)],
            cwd=self.folder,
            env=self.environ,
            input=given,
            capture_output=True,
            timeout=120,
            check=False,
        )
        result = Result(done)
        if expect is not None:
            assert result.status == expect, f"{words}: {result.status}\n{result.out}\n{result.err}"
        return result

    def run(self, *words: str | Path, given: bytes = b"", expect: int | None = 0) -> Result:
        """Run `cryptlv`. Whatever it says must be lines for users, never a traceback."""
        result = self.tool(sys.executable, "-m", "cryptlv", *words, given=given, expect=expect)
        assert "Traceback" not in result.err + result.out, result.err
        assert "Internal error" not in result.err, result.err
        return result

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start `cryptlv` and do not wait."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "cryptlv", *map(str, words)],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def fail(self, *words: str | Path, given: bytes = b"", status: int = 5) -> str:
        """Run `cryptlv`, which must fail with one line on standard error; gives that line."""
        result = self.run(*words, given=given, expect=status)
        errors = [line for line in result.err.splitlines() if "WARNING" not in line]
        assert len(errors) == 1, result.err
        assert errors[0].startswith("  "), errors
        return errors[0].strip()

    def key_file(self, name: str, data: bytes) -> Path:
        """A file that only its owner can read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path

    def snapshot(self) -> dict[str, bytes]:
        """The bytes of every image and of the system directory's files."""
        files = [*self.folder.glob("*.img"), *(self.folder / "system").rglob("*")]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    def server_pids(self) -> list[int]:
        """The pids of the servers that have said so."""
        states = (self.folder / "run" / "@servers").glob("*.json")
        return [int(json.loads(path.read_text())["pid"]) for path in states]

    def close(self) -> None:
        """End every server that a test left."""
        pids = self.server_pids()
        if not pids:
            return
        self.run("vgchange", "-an", "-ff", expect=None)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for folder in (self.folder / "run").glob("*"):
            for path in folder.glob("*"):
                if os.path.ismount(path) or (not path.exists() and path.name in os.listdir(folder)):
                    subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)
