"""The kernel's device-mapper where there may be none, and the parts that need none; in a guest it is held to
conformance/test_device_mapper.py."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate import dm
from cryptlv.activate.dm import DeviceMapper, holder_of
from cryptlv.errors import DeviceMapperError
from cryptlv.model.stack import TableLine

if TYPE_CHECKING:
    from pathlib import Path


def test_where_it_cannot_be_used_that_is_said(tmp_path: Path) -> None:
    kernel = DeviceMapper(control=str(tmp_path / "control"))
    assert not kernel.is_usable()
    with pytest.raises(DeviceMapperError, match=r"--backend auto") as caught:
        kernel.check_usable()
    assert caught.value.errno == (errno.ENOENT if os.geteuid() == 0 else 0)


def test_a_file_is_no_block_device(tmp_path: Path) -> None:
    kernel = DeviceMapper(str(tmp_path))
    (tmp_path / "file").touch()
    assert kernel.number_of(str(tmp_path / "file")) == kernel.number_of(str(tmp_path / "none")) == ""
    assert kernel.path_of("vg-a") == str(tmp_path / "mapper" / "vg-a")
    assert kernel.read_ahead_bytes("0:0") == 0


def test_what_a_device_is_in_use_for_is_known_of_mounts() -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        words = file.readline().split()
    assert holder_of(words[2]).startswith("mounted at /")
    assert holder_of("0:0") == ""


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.ENOENT, "crypt", "the kernel has no cipher serpent-xts-plain64"),
        (errno.EBUSY, "linear", "in use by somebody else"),
        (errno.ENODEV, "linear", "is gone"),
        (errno.EINVAL, "crypt", "needs --no-keyring"),
        (errno.EINVAL, "striped", "the kernel does not take it"),
        (errno.ENOMEM, "crypt", "as it was"),
    ],
)
def test_refused_tables_are_explained(number: int, kind: str, says: str) -> None:
    lines = (TableLine(start_sectors=0, length_sectors=8, kind=kind, words=("serpent-xts-plain64", ":64:logon:x")),)
    error = dm._explained(DeviceMapperError("as it was", errno=number), "vg-a", lines)
    assert says in str(error)
    assert error.errno == number
