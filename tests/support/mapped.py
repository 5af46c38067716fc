"""Disks with volumes of each kind, and a device-mapper that stands in for the kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.activate.dm_fake import FakeDeviceMapper
from cryptlv.model.sizes import LvSize
from cryptlv.ops import activation
from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_resize import EXTEND, ResizeRequest
from support.disks import MIB, REQUEST, Disks, Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.ops.session import Session


class Host:
    """Disks with a linear volume, an encrypted one and one over stripes, and a device-mapper."""

    def __init__(self, folder: Path) -> None:
        self.disks: Disks = make_disks(folder, (1, 1))
        self.kernel = FakeDeviceMapper()
        self.warnings: list[str] = []
        for path in self.disks.devices:
            self.kernel.number_of(path)
        with self.disks.session() as session:
            lvs.create(session, "vg0", REQUEST.replace(name="wide", stripes=2, activates=False), Known())

    def session(self) -> Session:
        return self.disks.session(self.warnings.append, kernel=self.kernel)

    def activate(self, *names: str, secret: bytes = b"correct horse", **more: bool) -> list[str]:
        """Activate; the errors."""
        with self.session() as session:
            _, failed = activation.activate(session, "vg0", names, "auto", Known(secret), **more)
        return [str(failure.error) for failure in failed]

    def deactivate(self, *names: str) -> list[str]:
        with self.session() as session:
            _, failed = activation.deactivate(session, "vg0", names)
        return [str(failure.error) for failure in failed]

    def refresh(self) -> list[str]:
        with self.session() as session:
            _, failed = activation.refresh_active(session, "vg0", (), Known())
        return [str(failure.error) for failure in failed]

    def state(self) -> dict[str, tuple[list[str], bool, bool]]:
        """By name the tables, the devices below by their names, and whether anything is unfinished."""
        names = {f"254:{device.minor}": name for name, device in self.kernel.devices.items()}
        found = {}
        for name, device in self.kernel.devices.items():
            lines = [
                " ".join(names.get(word, word) for word in line.replace().text.split()) for line in device.live or ()
            ]
            found[name] = (lines, device.is_suspended, device.inactive is not None)
        return found

    def assert_in_step(self, *names: str) -> None:
        """What is active is what a fresh activation of these volumes makes."""
        fresh = FakeDeviceMapper()
        for path in self.disks.devices:
            assert fresh.number_of(path) == self.kernel.number_of(path)
        mine, self.kernel = self.kernel, fresh
        try:
            assert self.activate(*names) == []
            expected, links = self.state(), fresh.links
        finally:
            self.kernel = mine
        assert self.state() == expected
        assert self.kernel.links == links

    def assert_nothing_left(self) -> None:
        assert (self.kernel.devices, self.kernel.keys, self.kernel.links) == ({}, {}, {})


def larger(mib: int = 1, way: str = EXTEND) -> ResizeRequest:
    """One volume longer, or shorter."""
    size = LvSize(size_bytes=mib * MIB, sign="+" if way == EXTEND else "-")
    return ResizeRequest(way=way, size=size)
