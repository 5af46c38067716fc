"""The kernel's own device-mapper, held to what the one that stands in for it is held to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from conformance.test_device_mapper import DESCRIPTION, DeviceMapperConformance
from cryptlv.activate.dm import DeviceMapper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.activate.run import Kernel
    from support.guest import Guest


class TestKernel(DeviceMapperConformance):
    @pytest.fixture
    def kernel(self, guest: Guest) -> Iterator[Kernel]:
        found = DeviceMapper()
        yield found
        found.drop_key(DESCRIPTION)
        assert guest.tables() == {}

    @pytest.fixture
    def disk(self, kernel: Kernel, guest: Guest) -> str:
        return kernel.number_of(str(guest.disks[0]))


def test_a_process_that_resumes_what_another_suspended_ends_well(guest: Guest) -> None:
    """libdevmapper counts what is suspended, and says at exit, without an interpreter, that it does not add up."""
    guest.tool("dmsetup", "create", "left", "--table", "0 8 zero")
    for what, state in (("suspend", "Suspended"), ("resume", "Active")):
        script = f"from cryptlv.activate.dm import DeviceMapper; DeviceMapper().{what}('left')"
        guest.tool(sys.executable, "-c", script)
        assert guest.tool("dmsetup", "info", "-c", "--noheadings", "-o", "suspended", "left").lines == [state]
