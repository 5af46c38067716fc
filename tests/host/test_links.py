"""/dev/VG/LV where no udevd makes it, and where one does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ActivationError
from cryptlv.host.links import make_link, remove_link, remove_nodes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    (tmp_path / "mapper").mkdir()
    (tmp_path / "dm-0").touch()
    (tmp_path / "mapper" / "vg-a").symlink_to("../dm-0")
    return tmp_path


def test_a_link_leads_to_the_node_and_goes_with_its_directory(dev: Path) -> None:
    node = str(dev / "mapper" / "vg-a")
    make_link(str(dev), "vg", "a", node)
    make_link(str(dev), "vg", "b", node)
    assert os.readlink(dev / "vg" / "a") == node
    assert (dev / "vg").stat().st_mode & 0o777 == 0o755
    remove_link(str(dev), "vg", "a")
    assert [path.name for path in (dev / "vg").iterdir()] == ["b"]
    remove_link(str(dev), "vg", "b")
    remove_link(str(dev), "vg", "b")
    assert not (dev / "vg").exists()


def test_what_udevd_has_made_stays_and_what_leads_elsewhere_is_made_anew(dev: Path) -> None:
    (dev / "vg").mkdir()
    (dev / "vg" / "a").symlink_to("../dm-0")
    node = str(dev / "mapper" / "vg-a")
    make_link(str(dev), "vg", "a", node)
    assert os.readlink(dev / "vg" / "a") == "../dm-0"
    (dev / "vg" / "b").symlink_to("../dm-7")
    make_link(str(dev), "vg", "b", node)
    assert os.readlink(dev / "vg" / "b") == node


def test_somebodys_file_is_neither_replaced_nor_removed(dev: Path) -> None:
    (dev / "vg").mkdir()
    (dev / "vg" / "a").write_text("mine")
    with pytest.raises(ActivationError, match="vg/a: is there already"):
        make_link(str(dev), "vg", "a", str(dev / "mapper" / "vg-a"))
    remove_link(str(dev), "vg", "a")
    assert (dev / "vg" / "a").read_text() == "mine"


def test_nodes_of_former_names_go_and_nothing_else(dev: Path) -> None:
    remove_nodes(str(dev / "mapper"), "1:1", but="x")
    remove_nodes(str(dev / "none"), "1:1", but="x")
    assert {path.name for path in (dev / "mapper").iterdir()} == {"vg-a"}


def test_a_directory_that_cannot_be_made_is_named(dev: Path) -> None:
    (dev / "vg").write_text("a file")
    with pytest.raises(ActivationError, match="vg/a: cannot make a link: "):
        make_link(str(dev), "vg", "a", "node")
    with pytest.raises(ActivationError, match="cannot"):
        make_link(str(dev), "x" * 300, "a", "node")
