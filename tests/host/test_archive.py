"""Backup and archive files: whole or not at all, numbered, pruned as lvm2 prunes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError, FormatError, NotFoundError
from cryptlv.host.archive import (
    archive_paths,
    read_archive,
    read_metadata_file,
    remove_backup,
    write_archive,
    write_backup,
    write_whole_file,
)
from cryptlv.host.lvmconf import RETAIN_DAYS, RETAIN_MIN
from cryptlv.host.system import make_environment

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_replaced_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"one", b"another"):
        write_whole_file(str(path), data)
        assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["x"], "no temporary file stays"


def test_what_cannot_be_written_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="none"):
        write_whole_file(str(tmp_path / "none" / "x"), b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DeviceError, match="folder"):
        write_whole_file(str(tmp_path / "folder"), b"")
    assert os.listdir(tmp_path) == ["folder"]


def test_archives_are_numbered_on_whatever_else_lies_there(tmp_path: Path) -> None:
    env = make_environment("")
    write_archive(str(tmp_path), "vg-1.x", b"first", env)
    (tmp_path / "vg-1.x_00041-77.vg").write_bytes(b"")
    (tmp_path / "vg-10x_00099-77.vg").write_bytes(b"")
    last = write_archive(str(tmp_path), "vg-1.x", b"second", env)
    assert os.path.basename(last).startswith("vg-1.x_00042-")


def test_old_archives_go_but_a_number_of_them_stays(tmp_path: Path) -> None:
    env = make_environment("")
    written = [write_archive(str(tmp_path), "vg", b"x", env) for _ in range(RETAIN_MIN + 3)]
    assert len(os.listdir(tmp_path)) == RETAIN_MIN + 3, "all are young"
    old = env.now - (RETAIN_DAYS + 1) * 86400
    for path in written:
        os.utime(path, (old, old))
    last = write_archive(str(tmp_path), "vg", b"x", env)
    left = sorted(os.listdir(tmp_path))
    assert len(left) == RETAIN_MIN
    assert os.path.basename(last) in left
    assert os.path.basename(written[0]) not in left


def test_a_backup_has_the_name_of_its_group(tmp_path: Path) -> None:
    assert write_backup(str(tmp_path / "backup"), "vg", b"text") == str(tmp_path / "backup" / "vg")


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """A pipe stands for /dev/null, which a rename by root would turn into a file for the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(DeviceError, match="not a regular file"):
            write_whole_file(str(tmp_path / name), b"x")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


@pytest.mark.parametrize(("days", "least", "left"), [(0, 2, 2), (0, 0, 0), (1, 0, 4), (0, 9, 4)])
def test_how_many_archives_stay_is_for_the_configuration_to_say(
    tmp_path: Path, days: int, least: int, left: int
) -> None:
    env = make_environment("")
    for number in range(3):
        path = write_archive(str(tmp_path), "vg", b"x", env)
        os.utime(path, (env.now - number, env.now - number))
    write_archive(str(tmp_path), "vg", b"x", env, retain_min=least, retain_days=days)
    assert len(archive_paths(str(tmp_path), "vg")) == max(left, 1), "the newest always stays"


def test_archives_are_given_oldest_first_and_a_backup_goes_quietly(tmp_path: Path) -> None:
    env = make_environment("")
    written = [write_archive(str(tmp_path), "vg", b"x", env) for _ in range(3)]
    assert archive_paths(str(tmp_path), "vg") == tuple(written)
    assert archive_paths(str(tmp_path / "none"), "vg") == ()
    with pytest.raises(DeviceError, match="cannot read"):
        archive_paths(written[0], "vg")
    path = write_backup(str(tmp_path), "vg", b"text")
    assert read_metadata_file(path) == b"text"
    remove_backup(str(tmp_path), "vg")
    remove_backup(str(tmp_path), "vg")
    with pytest.raises(NotFoundError, match="no such file"):
        read_metadata_file(path)
    with pytest.raises(DeviceError, match="cannot be read"):
        read_metadata_file(str(tmp_path))
    with open(path, "wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(FormatError, match="larger than any"):
        read_metadata_file(path)


def test_archives_are_read_newest_first(tmp_path: Path) -> None:
    env = make_environment("")
    assert list(read_archive(str(tmp_path / "none"), "vg")) == []
    paths = [write_archive(str(tmp_path), "vg", text, env) for text in (b"one", b"two", b"three")]
    write_archive(str(tmp_path), "vg2", b"of another", env)
    os.unlink(paths[1])
    os.mkdir(paths[1])
    assert list(read_archive(str(tmp_path), "vg")) == [(paths[2], b"three"), (paths[0], b"one")]
