"""pvck --repair: what it refuses and what a crash leaves; what it writes is compared with stock in
compat/test_checks_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import (
    CryptlvError,
    FormatError,
    InUseError,
    NoSpaceError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops.check import find_metadata
from cryptlv.ops.repair import read_given, repair, repair_label
from cryptlv.ops.search import Settings
from support.crash import crash_states
from support.disks import Disks, make_disks
from support.record import record

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.ops.session import Session

MIB = 1 << 20


def yes(_: str) -> None:
    pass


def no(question: str) -> None:
    raise RefusedError(question)


def saved(disks: Disks, path: Path, device: str = "/d1") -> str:
    with disks.session() as session:
        found = find_metadata(session, device)
    assert found is not None
    path.write_bytes(found.text)
    return str(path)


def mend(session: Session, path: str, text: str, settings: Settings | None = None) -> None:
    given = read_given(session, text)
    repair(session, path, given, settings or Settings(), yes, yes, with_label=True, with_metadata=True)


def test_a_device_comes_back_whole(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    old = disks.group()
    text = saved(disks, tmp_path / "text")
    disks.devices["/d0"].write(0, bytes(MIB))
    before, timeline, done = record(tmp_path, disks, lambda session: mend(session, "/d0", text))
    assert done.group() == old
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        assert state.group() == old, f"crash point {point}"
        with state.session() as session:
            mend(session, "/d0", text)
        assert state.opens("old"), f"crash point {point}: mended again"


def test_the_only_device_is_never_worse_than_before(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2,))
    old = disks.group()
    text = saved(disks, tmp_path / "text", "/d0")
    disks.devices["/d0"].write(4096, bytes(512))
    before, timeline, done = record(tmp_path, disks, lambda session: mend(session, "/d0", text))
    assert done.group() == old
    for point, devices in crash_states(before, timeline):
        assert Disks(tmp_path, devices).group() == old, f"crash point {point}: the second area has it all the time"


def test_what_cannot_be_repaired_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    text = saved(disks, tmp_path / "text")
    stranger = make_disks(tmp_path / "other", (1,))
    disks.devices["/d2"] = MemoryDevice(16 * MIB, path="/d2")
    before = {path: bytes(device.content) for path, device in disks.devices.items()}  # type: ignore[attr-defined]
    other = saved(stranger, tmp_path / "other.text", "/d0")
    ids = {path: disks.group().pvs[number].id for number, path in enumerate(("/d0", "/d1"))}  # type: ignore[union-attr]
    cases: list[tuple[str, str, Settings, type[CryptlvError], str]] = [
        ("/d2", text, Settings(), NotFoundError, "pv_uuid"),
        ("/d2", text, Settings(pv_uuid=ids["/d0"]), InUseError, "/d0"),
        ("/d0", other, Settings(), NotFoundError, "PV id"),
        ("/d0", text, Settings(mda_num=2), NotFoundError, "not 2"),
        ("/nothere", text, Settings(), CryptlvError, ""),
    ]
    for path, file, settings, error, words in cases:
        with disks.session() as session, pytest.raises((error, KeyError), match=words or None):
            mend(session, path, file, settings)
    with disks.session() as session:
        with pytest.raises(UsageError, match="-f FILE"):
            repair(session, "/d0", None, Settings(), yes, yes, with_label=True, with_metadata=True)
        given = read_given(session, text)
        with pytest.raises(FormatError, match="pvck --repair"):
            repair(session, "/d2", given, Settings(), yes, yes, with_label=False, with_metadata=True)
        with pytest.raises(RefusedError, match="/d0"):
            repair(session, "/d0", given, Settings(), no, yes, with_label=True, with_metadata=True)
        with pytest.raises(FormatError, match="pv_header"):
            repair_label(session, "/d2", yes, yes)
    assert {path: bytes(device.content) for path, device in disks.devices.items()} == before  # type: ignore[attr-defined]


def test_a_text_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    text = tmp_path / "text"
    saved(disks, text)
    text.write_bytes(text.read_bytes().replace(b"contents =", b"#" * MIB + b"\ncontents ="))
    with disks.session() as session, pytest.raises(NoSpaceError, match="/d0"):
        mend(session, "/d0", str(text))


@pytest.mark.parametrize("content", [b"", b"x", b"vg {", b"\0" * 100, b"a {\n}\nb {\n}\n", b"\xff" * 50])
def test_a_file_that_is_no_metadata_is_named(tmp_path: Path, content: bytes) -> None:
    disks = make_disks(tmp_path, (1,))
    (tmp_path / "text").write_bytes(content)
    with disks.session() as session:
        with pytest.raises(FormatError, match="text"):
            read_given(session, str(tmp_path / "text"))
        with pytest.raises(NotFoundError, match="no such file"):
            read_given(session, str(tmp_path / "nothere"))
        with pytest.raises(CryptlvError, match="cannot be read"):
            read_given(session, str(tmp_path))


def test_a_header_can_be_made_of_settings_alone(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    old = disks.group()
    assert old is not None
    disks.devices["/d0"].write(512, bytes(512))
    settings = Settings(pv_uuid=old.pvs[0].id, device_size=16 * MIB, data_offset=MIB)
    with disks.session() as session:
        repair(session, "/d0", None, settings, yes, yes, with_label=True, with_metadata=False)
    assert disks.group() == old
    assert disks.opens("old")
