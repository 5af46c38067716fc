"""The devices file: which devices are looked at (lvm2's lib/device/device_id.c, lvmdevices(8)).

Lines of `IDTYPE=.. IDNAME=.. DEVNAME=.. PVID=.. [PART=n]`, comments, SYSTEMID=, and VERSION=1.1.COUNTER, whose
counter grows with each change. It is replaced whole, under a lock of its own. Lines that are not understood are kept.
"""

from __future__ import annotations

import os
import re

from cryptlv.errors import DeviceError
from cryptlv.host.archive import write_whole_file
from cryptlv.host.locks import LockDirectory
from cryptlv.host.system import make_private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FIELD = re.compile(r"([A-Z]+)=(\S*)")
_NO_NAME = "."
_HEADER = "# LVM uses devices listed in this file.\n"


class DevicesFile:
    """The file at `path`; `lock_dir` is where stock lvm2 locks it as `D_<file name>`."""

    def __init__(self, path: str, lock_dir: str) -> None:
        self.path = path
        self._locks = LockDirectory(lock_dir)

    def lines(self) -> list[str]:
        """The file's lines, none when it is not there; raises DeviceError when it cannot be read."""
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DeviceError(f"{self.path}: cannot read: {error.strerror}", errno=error.errno or 0) from None

    def paths(self) -> tuple[str, ...]:
        """The device names of all entries, in order, each once."""
        names = (dict(_FIELD.findall(line)).get("DEVNAME", _NO_NAME) for line in self.lines() if _is_entry(line))
        return tuple(dict.fromkeys(_unescape(name) for name in names if name not in ("", _NO_NAME)))

    def add(self, pvs: Sequence[tuple[str, str]]) -> None:
        """Enter (path, PV id without hyphens); an entry of the same path is replaced. Raises DeviceError."""
        new = {_escape(path): pv_id for path, pv_id in pvs}

        def edit(lines: list[str]) -> list[str]:
            kept = [line for line in lines if _field(line, "DEVNAME") not in new]
            return kept + [f"IDTYPE=devname IDNAME={path} DEVNAME={path} PVID={pv_id}" for path, pv_id in new.items()]

        self._change(edit)

    def remove(self, paths: Sequence[str]) -> None:
        """Take out the entries of these device names. Raises DeviceError."""
        gone = {_escape(path) for path in paths}
        self._change(lambda lines: [line for line in lines if _field(line, "DEVNAME") not in gone])

    def _change(self, edit: Callable[[list[str]], list[str]]) -> None:
        make_private_directory(os.path.dirname(self.path))
        with self._locks.named(f"D_{os.path.basename(self.path)}", write=True):
            old = self.lines()
            body = [line for line in old if not line.startswith("VERSION=")]
            lines = edit(body)
            if lines == body:
                return
            if not old:
                lines.insert(0, _HEADER.rstrip())
            lines.append(f"VERSION=1.1.{_counter(old) + 1}")
            write_whole_file(self.path, ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))


def _is_entry(line: str) -> bool:
    return line.startswith("IDTYPE=")


def _field(line: str, name: str) -> str | None:
    return dict(_FIELD.findall(line)).get(name) if _is_entry(line) else None


def _counter(lines: list[str]) -> int:
    for line in lines:
        match = re.fullmatch(r"VERSION=\d+\.\d+\.(\d+)\s*", line)
        if match:
            return int(match[1])
    return 0


def _escape(path: str) -> str:
    """A path without blanks, which end a field; lvm2 has no word for them, so they are written as in /proc/mounts."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in path)


def _unescape(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)
