"""Fixtures that every folder uses."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.machine import Machine
from support.stock import StockLvm

if TYPE_CHECKING:
    from collections.abc import Iterator

signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a script has put into the background
os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"  # losetup, mke2fs, lvm


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine in a folder with a short name, as paths of sockets are limited; its servers are ended at last."""
    folder = Path(tempfile.mkdtemp(prefix="clv-"))
    machine = Machine(folder)
    yield machine
    machine.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def vg0(machine: Machine) -> Machine:
    """A machine with volume group vg0 on two image files."""
    machine.image("a.img")
    machine.image("b.img")
    machine.run("vgcreate", "vg0", "a.img", "b.img")
    return machine


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[StockLvm]:
    """Stock lvm2; its loop devices are detached after the test."""
    lvm = StockLvm(tmp_path / "stock")
    yield lvm
    lvm.detach()


@pytest.fixture(scope="session")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for LUKS headers, each of which is made once (support/luks.py:formatted)."""
    return tmp_path_factory.mktemp("headers")
