"""Volumes frozen with their keys wiped, and thawed, on a device-mapper that is stood in for."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from cryptlv.keys.handler import KeystoreRequest
from cryptlv.ops import freeze
from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_resize import resize
from support.disks import REQUEST, Known
from support.mapped import Host, larger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    assert found.activate() == []
    return found


def suspend(host: Host, *names: str) -> tuple[tuple[str, ...], list[str]]:
    with host.session() as session:
        done, failed = freeze.suspend_keys(session, "vg0", names)
    return done, [str(failure.error) for failure in failed]


def resume(host: Host, *names: str, secret: bytes = b"correct horse", by_keyring: bool = True) -> list[str]:
    with host.session() as session:
        done, failed = freeze.resume_keys(session, "vg0", names, Known(secret), by_keyring=by_keyring)
    return [*done, *(str(failure.error) for failure in failed)]


@pytest.mark.parametrize("by_keyring", [True, False], ids=["keyring", "digits"])
def test_a_group_is_frozen_and_thawed(host: Host, by_keyring: bool) -> None:
    before = host.state()
    keys = dict(host.kernel.keys)
    assert suspend(host) == (("old", "wide"), [])
    assert host.kernel.keys == {}
    assert [host.kernel.devices[name].is_suspended for name in ("vg0-first", "vg0-old", "vg0-wide")] == [0, 1, 1]
    shown = str([line.text for device in host.kernel.devices.values() for line in device.live or ()])
    assert not any(key.hex() in shown for key in keys.values())
    assert suspend(host) == (("old", "wide"), [])
    assert ["passphrase" in error for error in resume(host, "old", secret=b"wrong")] == [True]
    assert host.kernel.devices["vg0-old"].is_suspended
    assert resume(host, by_keyring=by_keyring) == ["old", "wide"]
    assert resume(host) == []
    if by_keyring:
        assert (host.state(), host.kernel.keys) == (before, keys)
    with host.session() as session:
        resize(session, "vg0", "old", larger())
    assert host.deactivate() == []
    host.assert_nothing_left()


def test_a_volume_of_two_segments_gets_its_key_back_in_both(host: Host) -> None:
    with host.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="between", size_bytes=65536), Known())
        resize(session, "vg0", "old", larger())
    assert len(host.kernel.table("vg0-old")) == 2
    assert suspend(host, "old") == (("old",), [])
    assert resume(host, "old") == ["old"]
    assert not host.kernel.devices["vg0-old"].is_suspended


def test_what_cannot_be_frozen_is_named(host: Host) -> None:
    hashed = REQUEST.replace(name="hashed", handler="hashed", keystore=KeystoreRequest())
    with host.session() as session:
        lvs.create(session, "vg0", hashed, Known())
    assert host.deactivate("wide") == []
    assert [words in error for words, error in zip(
        ("not encrypted", "not active in the kernel", "would not be noticed", "nobody"),
        suspend(host, "first", "wide", "hashed", "nobody")[1], strict=True,
    )] == [True] * 4  # fmt: skip
    assert not any(device.is_suspended for device in host.kernel.devices.values())


def test_a_key_that_cannot_be_wiped_leaves_the_volume_at_work(host: Host) -> None:
    host.kernel.refuses["message"] = errno.EIO
    assert suspend(host, "old")[0] == ()
    assert not host.kernel.devices["vg0-old"].is_suspended
    assert len(host.kernel.keys) == 2


def test_the_key_of_another_volume_of_the_store_stays(host: Host) -> None:
    with host.session() as session:
        group = session.world().group("vg0").vg
        (store,) = {name for segment in group.lv("old").segments for name in segment.keystores}
        shared = lvs.LvRequest(name="more", size_bytes=65536, segment_type="crypt", crypto_store=store)
        lvs.create(session, "vg0", shared, Known())
    assert suspend(host, "old") == (("old",), [])
    assert len(host.kernel.keys) == 2
    assert suspend(host, "more", "wide") == (("more", "wide"), [])
    assert host.kernel.keys == {}
    with host.session() as session:
        session.test = True
        assert freeze.resume_keys(session, "vg0", (), Known()) == (("old", "wide", "more"), ())
    assert host.kernel.keys == {}
