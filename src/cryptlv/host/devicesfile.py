"""The devices file: which devices are looked at (lvm2's lib/device/device_id.c, lvmdevices(8)).

Lines of `IDTYPE=.. IDNAME=.. DEVNAME=.. PVID=.. [PART=n]`, comments, SYSTEMID=, and VERSION=1.1.COUNTER, whose
counter grows with each change. It is replaced whole, so reading it needs no lock; a change is made under a lock of
its own. Lines that are not understood are kept.
"""

from __future__ import annotations

import os
import re

from cryptlv.errors import DeviceError
from cryptlv.host.archive import write_whole_file
from cryptlv.host.locks import LockDirectory
from cryptlv.host.system import make_private_directory
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FIELD = re.compile(r"([A-Z]+)= *(\S*)")
_VERSION = re.compile(r"1\.\d+\.(\d{1,9})")
_NOTHING = "."
_HEADER = "# LVM uses devices listed in this file."
_DEVNAME = "devname"


class DeviceEntry(Record):
    """A device that is listed: its path, and the PV id (without hyphens) that it must have.

    `pv_id` is "" when it had none, or when the name is all that the entry knows its device by.
    """

    path: str
    pv_id: str = ""


class DevicesFile:
    """The file at `path`; `lock_dir` is where stock lvm2 locks it as `D_<file name>`.

    `system_id` is this host's, which the file then bears: a copy of it on another host gives itself away.
    """

    def __init__(self, path: str, lock_dir: str, system_id: str = "") -> None:
        self.path = path
        self._locks = LockDirectory(lock_dir)
        self._system_id = system_id

    def lines(self) -> list[str]:
        """The file's lines, none when it is not there; raises DeviceError when it cannot be read."""
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DeviceError(f"{self.path}: cannot read: {error.strerror}", errno=error.errno or 0) from None

    def entries(self) -> tuple[DeviceEntry, ...]:
        """The devices whose paths are known, in order."""
        return tuple(
            DeviceEntry(
                path=_unescape(name),
                pv_id="" if fields["IDTYPE"] == _DEVNAME else fields.get("PVID", "").removeprefix(_NOTHING),
            )
            for fields in map(_fields, self.lines())
            if (name := _device_name(fields))
        )

    def paths(self) -> tuple[str, ...]:
        """The device names of all entries, in order, each once."""
        return tuple(dict.fromkeys(entry.path for entry in self.entries()))

    def foreign_system_id(self) -> str | None:
        """The system ID in the file ("" for none) when it is not this host's, None when all is well."""
        for line in self.lines():
            if line.startswith("SYSTEMID"):
                found = line.partition("=")[2].strip()
                return found if found != self._system_id else None
        return None

    def add(self, pvs: Sequence[tuple[str, str]]) -> None:
        """Enter (path, PV id without hyphens); an entry of the same path keeps its identity and gets the PV id.

        Raises DeviceError.
        """
        new = {_escape(path): pv_id for path, pv_id in pvs}

        def edit(lines: list[str]) -> list[str]:
            listed = {_device_name(_fields(line)) for line in lines}
            changed = [_with_pv_id(line, new) for line in lines]
            return changed + [
                f"IDTYPE={_DEVNAME} IDNAME={path} DEVNAME={path} PVID={pv_id}"
                for path, pv_id in new.items()
                if path not in listed
            ]

        self._change(edit)

    def remove(self, paths: Sequence[str]) -> None:
        """Note that these devices are no physical volumes any more, as stock's pvremove does: PVID is `.` then.

        An entry that knows its device by name only says nothing any more, and goes. Raises DeviceError.
        """
        gone = dict.fromkeys(map(_escape, paths), _NOTHING)
        self._change(
            lambda lines: [
                _with_pv_id(line, gone)
                for line in lines
                if _fields(line).get("IDTYPE") != _DEVNAME or _device_name(_fields(line)) not in gone
            ]
        )

    def _change(self, edit: Callable[[list[str]], list[str]]) -> None:
        make_private_directory(os.path.dirname(self.path))
        with self._locks.devices_file(os.path.basename(self.path)):
            old = self.lines()
            counter = self._counter(old)
            body = [line for line in old if not line.startswith(("VERSION", "SYSTEMID"))]
            lines = edit(body)
            if lines == body:
                return
            comments = [line for line in lines if line.startswith("#")] or [_HEADER]
            head = [*comments, *([f"SYSTEMID={self._system_id}"] if self._system_id else [])]
            head.append(f"VERSION=1.1.{counter + 1}")
            rest = [line for line in lines if not line.startswith("#")]
            write_whole_file(self.path, ("\n".join([*head, *rest]) + "\n").encode("utf-8", "surrogateescape"))

    def _counter(self, lines: list[str]) -> int:
        """How often the file was changed; raises DeviceError for a version that is not ours to write, as stock."""
        versions = [line.partition("=")[2].strip() for line in lines if line.startswith("VERSION")]
        if not versions:
            return 0
        match = _VERSION.fullmatch(versions[-1])
        if match is None:
            raise DeviceError(
                f"{self.path}: not changed, its version {versions[-1]} is not known; name devices with --devices"
            )
        return int(match[1])


def _fields(line: str) -> dict[str, str]:
    """An entry's fields by name; empty for a line that is none."""
    fields = {} if line.startswith("#") else dict(_FIELD.findall(line))
    return fields if "IDTYPE" in fields and "IDNAME" in fields else {}


def _device_name(fields: dict[str, str]) -> str:
    """The device's name as it stands in the file, "" when the entry does not know it."""
    name = fields.get("DEVNAME", "")
    if name in ("", _NOTHING) and fields.get("IDTYPE") == _DEVNAME:
        name = fields["IDNAME"]
    return "" if name == _NOTHING else name


def _with_pv_id(line: str, pv_ids: dict[str, str]) -> str:
    """An entry with the PV id that belongs to its device name, if any does."""
    fields = _fields(line)
    pv_id = pv_ids.get(_device_name(fields)) if fields else None
    if pv_id is None or fields.get("PVID") == pv_id:
        return line
    fields["PVID"] = pv_id
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _escape(path: str) -> str:
    """A path without blanks, which end a field; lvm2 has no word for them, so they are written as in /proc/mounts."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in path)


def _unescape(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)
