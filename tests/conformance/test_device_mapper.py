"""The kernel's device-mapper and the one that stands in for it keep one contract (the kernel's in a guest)."""

from __future__ import annotations

import errno
from abc import abstractmethod
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.dm_fake import FakeDeviceMapper
from cryptlv.errors import DeviceMapperError
from cryptlv.model.stack import TableLine
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.activate.run import Kernel

KEY = bytes(range(64))
DESCRIPTION = "cryptlv:conformance"
REFERENCE = f":64:logon:{DESCRIPTION}"
UUID = "LVM-" + "v" * 32 + "l" * 32


def line(kind: str, *words: str, start: int = 0, length: int = 2048) -> TableLine:
    return TableLine(start_sectors=start, length_sectors=length, kind=kind, words=words)


class DeviceMapperConformance:
    """What every device-mapper does; subclasses say which one, and where a block device of 8 MiB is."""

    @pytest.fixture
    @abstractmethod
    def kernel(self) -> Iterator[Kernel]:
        """A device-mapper without devices."""

    @pytest.fixture
    @abstractmethod
    def disk(self, kernel: Kernel) -> str:
        """MAJOR:MINOR of a block device."""

    def load(self, kernel: Kernel, name: str, *lines: TableLine, read_only: bool = False) -> None:
        with VolumeKey(KEY) as key:
            kernel.load(name, lines, is_read_only=read_only, keys={"=store": key})

    def make(self, kernel: Kernel, name: str, *lines: TableLine, uuid: str = UUID) -> None:
        kernel.create(name, uuid)
        self.load(kernel, name, *lines)
        kernel.resume(name)
        kernel.settle()

    def refused(self, number: int | None, name: str = "t-one") -> pytest.RaisesExc[DeviceMapperError]:
        def is_it(error: DeviceMapperError) -> bool:
            return (number is None or error.errno == number) and name in str(error) and "\n" not in str(error)

        return pytest.RaisesExc(DeviceMapperError, check=is_it)

    def test_it_is_usable_and_empty(self, kernel: Kernel) -> None:
        kernel.check_usable()
        assert kernel.is_usable()
        assert kernel.names() == ()
        assert kernel.find(name="t-one") is None
        assert kernel.find(uuid=UUID) is None
        assert int(kernel.version().split(".")[0]) >= 4

    def test_a_device_goes_through_its_life(self, kernel: Kernel, disk: str) -> None:
        kernel.create("t-one", UUID)
        fresh = kernel.find(name="t-one")
        assert fresh is not None
        assert (fresh.uuid, fresh.has_live, fresh.has_inactive) == (UUID, False, False)
        first, second = line("linear", disk, "2048"), line("linear", disk, "8192", start=2048, length=1024)
        self.load(kernel, "t-one", first)
        kernel.resume("t-one")
        kernel.settle()
        assert kernel.table("t-one") == (first,)
        assert UUID in kernel.lvm_uuids()
        assert kernel.deps("t-one") == (disk,)
        self.load(kernel, "t-one", first, second)
        waiting = kernel.find(uuid=UUID)
        assert waiting is not None
        assert (waiting.has_live, waiting.has_inactive, waiting.is_suspended) == (True, True, False)
        assert kernel.table("t-one") == (first,)
        kernel.clear("t-one")
        kernel.suspend("t-one")
        frozen = kernel.find(name="t-one")
        assert frozen is not None
        assert (frozen.is_suspended, frozen.has_inactive) == (True, False)
        kernel.resume("t-one")
        assert kernel.table("t-one") == (first,)
        self.load(kernel, "t-one", first, second, read_only=True)
        kernel.suspend("t-one", flushes=False, freezes=False)
        kernel.resume("t-one")
        assert kernel.table("t-one") == (first, second)
        kernel.rename("t-one", "t-two")
        found = kernel.find(uuid=UUID)
        assert found is not None
        assert (found.name, found.is_read_only, found.number) == ("t-two", True, fresh.number)
        assert kernel.names() == ("t-two",)
        assert [status.kind for status in kernel.status("t-two")] == ["linear", "linear"]
        kernel.remove("t-two")
        kernel.settle()
        assert kernel.names() == ()

    def test_a_minor_number_is_given(self, kernel: Kernel) -> None:
        kernel.create("t-one", UUID, 77)
        found = kernel.find(name="t-one")
        assert found is not None
        assert found.number.endswith(":77")
        kernel.remove("t-one")

    def test_names_and_uuids_are_taken_once(self, kernel: Kernel, disk: str) -> None:
        self.make(kernel, "t-one", line("linear", disk, "0"))
        with self.refused(errno.EBUSY):
            kernel.create("t-one", UUID + "-other")
        with self.refused(errno.EBUSY, "t-two"):
            kernel.create("t-two", UUID)
        kernel.create("t-two", UUID + "-other")
        with self.refused(errno.EBUSY, "t-two"):
            kernel.rename("t-one", "t-two")
        for name in ("t-one", "t-two"):
            kernel.remove(name)

    def test_what_lies_below_another_stays(self, kernel: Kernel, disk: str) -> None:
        self.make(kernel, "t-one", line("linear", disk, "0"))
        below = kernel.find(name="t-one")
        assert below is not None
        self.make(kernel, "t-two", line("linear", below.number, "0"), uuid=UUID + "-other")
        assert kernel.deps("t-two") == (below.number,)
        again = kernel.find(name="t-one")
        assert again is not None
        assert again.open_count == 1
        with self.refused(errno.EBUSY):
            kernel.remove("t-one")
        kernel.remove("t-two")
        kernel.remove("t-one")

    def test_devices_that_are_not_there_are_refused(self, kernel: Kernel) -> None:
        for act in (
            kernel.clear, kernel.suspend, kernel.resume, kernel.remove, kernel.table, kernel.status, kernel.deps,
            lambda name: kernel.rename(name, "t-two"), lambda name: kernel.message(name, 0, ("key", "wipe")),
            lambda name: self.load(kernel, name, line("zero")),
        ):  # fmt: skip
            with self.refused(errno.ENXIO):
                act("t-one")

    def test_tables_that_cannot_be_are_refused_and_leave_the_live_one(self, kernel: Kernel, disk: str) -> None:
        good = line("linear", disk, "0")
        self.make(kernel, "t-one", good)
        for bad in (
            (line("nonsense", disk, "0"),),
            (line("linear", disk, "0", start=8),),
            (line("linear", "4000:4000", "0"),),
            (line("crypt", "aes-xts-plain64", ":64:logon:cryptlv:nobody", "0", disk, "0"),),
        ):
            with self.refused(None):
                self.load(kernel, "t-one", *bad)
        found = kernel.find(name="t-one")
        assert found is not None
        assert (found.has_inactive, kernel.table("t-one")) == (False, (good,))
        kernel.remove("t-one")

    def test_a_device_without_a_table_is_resumed_in_vain(self, kernel: Kernel) -> None:
        kernel.create("t-one", UUID)
        kernel.resume("t-one")
        found = kernel.find(name="t-one")
        assert found is not None
        assert not found.has_live
        kernel.remove("t-one")

    def test_a_key_is_a_reference_to_the_keyring(self, kernel: Kernel, disk: str) -> None:
        with VolumeKey(KEY) as key:
            assert not kernel.has_key(DESCRIPTION)
            kernel.put_key(DESCRIPTION, key)
        assert kernel.has_key(DESCRIPTION)
        wanted = line("crypt", "aes-xts-plain64", REFERENCE, "0", disk, "2048", "1", "allow_discards")
        self.make(kernel, "t-one", wanted)
        assert kernel.table("t-one") == (wanted,)
        assert kernel.keys_of("t-one") == {}
        kernel.drop_key(DESCRIPTION)
        assert not kernel.has_key(DESCRIPTION)
        kernel.drop_key(DESCRIPTION)
        with self.refused(errno.ENOKEY):
            self.load(kernel, "t-one", wanted)
        kernel.remove("t-one")

    def test_a_key_in_digits_is_never_in_a_table_that_is_read(self, kernel: Kernel, disk: str) -> None:
        wanted = line("crypt", "aes-xts-plain64", "=store", "0", disk, "2048")
        self.make(kernel, "t-one", wanted)
        (seen,) = kernel.table("t-one")
        assert seen == wanted.replace(words=("aes-xts-plain64", "=t-one:0", "0", disk, "2048"))
        keys = kernel.keys_of("t-one")
        with VolumeKey(KEY) as key:
            assert [(word, found.matches(key)) for word, found in keys.items()] == [("=t-one:0", True)]
        for found in keys.values():
            found.close()
        kernel.remove("t-one")

    def test_a_wiped_key_keeps_a_device_frozen_until_it_is_set(self, kernel: Kernel, disk: str) -> None:
        with VolumeKey(KEY) as key:
            kernel.put_key(DESCRIPTION, key)
            wanted = line("crypt", "aes-xts-plain64", REFERENCE, "0", disk, "2048")
            self.make(kernel, "t-one", wanted)
            with self.refused(errno.EINVAL):
                kernel.message("t-one", 0, ("key", "wipe"))
            kernel.suspend("t-one")
            kernel.message("t-one", 0, ("key", "wipe"))
            (seen,) = kernel.table("t-one")
            assert seen.key_word == "=t-one:0"
            with self.refused(errno.EAGAIN):
                kernel.resume("t-one")
            kernel.drop_key(DESCRIPTION)
            with self.refused(errno.ENOKEY):
                kernel.message("t-one", 0, ("key", "set", REFERENCE))
            kernel.put_key(DESCRIPTION, key)
        kernel.message("t-one", 0, ("key", "set", REFERENCE))
        kernel.resume("t-one")
        assert kernel.table("t-one") == (wanted,)
        kernel.suspend("t-one")
        kernel.message("t-one", 0, ("key", "wipe"))
        with VolumeKey(KEY) as key:
            kernel.message("t-one", 0, ("key", "set", "=k"), {"=k": key})
            kernel.resume("t-one")
            (found,) = kernel.keys_of("t-one").values()
            assert found.matches(key)
            found.close()
        kernel.drop_key(DESCRIPTION)
        kernel.remove("t-one")


class TestFake(DeviceMapperConformance):
    @pytest.fixture
    def kernel(self) -> Kernel:
        return FakeDeviceMapper()

    @pytest.fixture
    def disk(self, kernel: Kernel) -> str:
        return kernel.number_of("/dev/vda")
