"""Stock's configuration as far as it binds us; what stock makes of the same files is in compat/test_foreign.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import FormatError
from cryptlv.host.lvmconf import HostSettings, configuration_directory, observe_settings

if TYPE_CHECKING:
    from pathlib import Path


def settings(folder: Path, conf: str = "", local: str = "") -> HostSettings:
    (folder / "lvm.conf").write_text(conf)
    (folder / "lvmlocal.conf").write_text(local)
    return observe_settings(str(folder), "host")


def test_without_files_stocks_defaults_hold(tmp_path: Path) -> None:
    assert observe_settings(str(tmp_path / "none"), "host") == HostSettings() == observe_settings("", "host")


def test_the_directory_is_stocks_unless_ours_is_named() -> None:
    assert configuration_directory({}) == "/etc/lvm"
    assert configuration_directory({"CRYPTLV_SYSTEM_DIR": "/s"}) == "/s"
    assert configuration_directory({"CRYPTLV_SYSTEM_DIR": "/s", "LVM_SYSTEM_DIR": "/l"}) == "/l"
    assert configuration_directory({"LVM_SYSTEM_DIR": ""}) == ""


def test_the_last_value_counts_in_every_way_of_writing_it(tmp_path: Path) -> None:
    conf = """
        # global/locking_dir = "/not"
        global { umask = 077 locking_dir = "/a" }   # the first
        devices { hints = "none" scan = [ "/dev" ] filter = [ "a|.*|" ] devicesfile = "x.devices" }
        global/locking_dir = "/b"
    """
    found = settings(tmp_path, conf, "global { locking_dir = '/c' } local { extra_system_ids = [ 'p', 'q' ] }")
    assert (found.locking_dir, found.uses_hints, found.devices_file_name) == ("/c", False, "x.devices")
    assert found.extra_system_ids == ("p", "q")
    assert found.waits_for_locks
    assert not settings(tmp_path, "global { wait_for_locks = 0 }").waits_for_locks
    assert found.warnings == ()


def test_a_file_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"lvm\.conf"):
        settings(tmp_path, "global {")


def test_whose_a_system_id_is() -> None:
    host = HostSettings(system_id="me", extra_system_ids=("old",))
    assert all(map(host.allows, ("", None, "me", "old")))
    assert not host.allows("other")
    assert not HostSettings(extra_system_ids=("old",)).allows("old"), "a host without an ID has no others either"


def test_a_source_that_gives_nothing_is_told(tmp_path: Path) -> None:
    for conf in ('system_id_source = "file"', 'system_id_source = "lvmlocal"', 'system_id_source = "no"'):
        found = settings(tmp_path, f"global {{ {conf} }}")
        assert found.system_id == ""
        assert any("no system ID" in line for line in found.warnings)
    found = settings(tmp_path, 'global { system_id_source = "file" system_id_file = "/none/x" }')
    assert any("/none/x" in line for line in found.warnings)
    assert any("not used" in line for line in settings(tmp_path, "", 'local/system_id = "x"').warnings)


def test_which_volumes_are_activated(tmp_path: Path) -> None:
    found = settings(tmp_path, "activation { volume_list = 'vg0' auto_activation_volume_list = [ ] }")
    assert (found.volume_list, found.auto_activation_volume_list, found.event_activation) == (("vg0",), (), True)
    found = settings(tmp_path, "activation/auto_activation_volume_list = [ 'a', '@b' ] global/event_activation = 0")
    assert (found.volume_list, found.auto_activation_volume_list) == (None, ("a", "@b"))
    assert not found.event_activation


def test_which_backups_are_kept(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "backup { backup = 0 archive = 'no' backup_dir = '/b' archive_dir = '/a' retain_min = 3 retain_days = -1 }",
    )
    assert (found.backup, found.archive, found.backup_dir, found.archive_dir) == (False, False, "/b", "/a")
    assert (found.retain_min, found.retain_days) == (3, 0)
    found = settings(tmp_path, "backup { backup = 'on' archive = 2 retain_min = 'x' }")
    assert (found.backup, found.archive, found.retain_min) == (True, True, 10)


def test_how_extents_are_aligned(tmp_path: Path) -> None:
    settings = observe_settings(str(tmp_path), "host")
    assert (settings.data_alignment_mib, settings.detects_alignment, settings.detects_alignment_offset) == (
        1,
        True,
        True,
    )
    (tmp_path / "lvm.conf").write_text(
        "devices { default_data_alignment = 4\ndata_alignment_detection = 0\ndata_alignment_offset_detection = 0 }\n"
    )
    settings = observe_settings(str(tmp_path), "host")
    assert (settings.data_alignment_mib, settings.detects_alignment, settings.detects_alignment_offset) == (
        4,
        False,
        False,
    )
    (tmp_path / "lvm.conf").write_text("devices { default_data_alignment = 0 }\n")
    assert observe_settings(str(tmp_path), "host").data_alignment_mib == 1
