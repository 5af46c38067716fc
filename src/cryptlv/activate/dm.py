"""The kernel's device-mapper through libdevmapper, and the keys that its tables refer to in the kernel's keyring.

The library is loaded when first needed. Every task that makes or takes away a node has a udev cookie, and `settle`
waits for udevd, or where none runs has the library make the nodes; without that a node may be missing right after its
device was made.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import cache

from cryptlv.activate.libdm import (
    CLEAR,
    CREATE,
    DEPS,
    INFO,
    LIST,
    MESSAGE,
    MKNODES,
    RELOAD,
    REMOVE,
    RENAME,
    RESUME,
    STATUS,
    SUSPEND,
    TABLE,
    VERSION,
    digits_place,
    info_type,
    joined,
    libdm,
    line_of,
    run_task,
    targets_of,
    task_of,
    text_of,
    undigits,
    words_of,
)
from cryptlv.errors import DeviceMapperError
from cryptlv.host.devices import device_number
from cryptlv.host.kernel import uuids_in_kernel
from cryptlv.host.links import make_link, remove_link, remove_nodes
from cryptlv.model.stack import KEY, PREFIX, SeenDevice, TableLine
from cryptlv.secret import VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cryptlv.secret import Secret

CONTROL = "/dev/mapper/control"
_HIDDEN_RULES = 0x0002 | 0x0004 | 0x0008
"""Flags for udev: no rules of subsystems, disks or others for the hidden parts of volumes, as lvm2 sets them."""
_NOBODY_RESUMES = errno.EAGAIN
_LOCK_CURRENT = 1
_LAST_CLOSE_SECONDS = 2.0


class DeviceMapper:
    """This machine's device-mapper. Methods raise DeviceMapperError, and KeyringError for keys."""

    def __init__(self, dev_dir: str = "/dev", control: str = CONTROL) -> None:
        self._dev_dir = dev_dir
        self._control = control
        self._cookie: Any = None

    def is_usable(self) -> bool:
        """Whether this process may use device-mapper here; where the kernel has it as a module it is loaded."""
        if os.geteuid() != 0:
            return False
        try:
            os.close(os.open(self._control, os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            return False
        return True

    def check_usable(self) -> None:
        """Raise DeviceMapperError, with the reason, when it cannot be used."""
        if os.geteuid() != 0:
            raise DeviceMapperError("volumes are activated in the kernel by root only; see: --backend auto")
        try:
            os.close(os.open(self._control, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            raise DeviceMapperError(
                f"this kernel has no device-mapper ({self._control}: {error.strerror}); see: --backend auto",
                errno=error.errno or 0,
            ) from None
        libdm()

    def number_of(self, path: str) -> str:
        """MAJOR:MINOR of a block device, "" for anything else."""
        major, minor = device_number(path)
        return f"{major}:{minor}" if major >= 0 else ""

    def path_of(self, name: str) -> str:
        """Where the node of a device is."""
        return os.path.join(self._dev_dir, "mapper", name)

    def read_ahead_bytes(self, number: str) -> int:
        """What the kernel reads ahead of a device (MAJOR:MINOR); 0 where it does not say."""
        try:
            with open(f"/sys/dev/block/{number}/queue/read_ahead_kb", encoding="ascii") as file:
                return int(file.read()) * 1024
        except (OSError, ValueError):
            return 0

    def lvm_uuids(self) -> tuple[str, ...]:
        """The UUIDs of all devices that are parts of volumes, of every volume group."""
        return tuple(uuid for uuid in uuids_in_kernel() if uuid.startswith(PREFIX))

    def version(self) -> str:
        """The kernel's version of device-mapper."""
        ctypes = _ctypes()
        buffer = ctypes.create_string_buffer(32)
        with task_of(VERSION) as task:
            run_task(task, VERSION, "")
            libdm().dm_task_get_driver_version(task, buffer, len(buffer))
        return text_of(buffer.value)

    def names(self) -> tuple[str, ...]:
        """The names of all devices."""
        ctypes = _ctypes()
        found: list[str] = []
        with task_of(LIST) as task:
            run_task(task, LIST, "")
            address = libdm().dm_task_get_names(task)
            while address:
                device = ctypes.c_uint64.from_address(address).value
                step = ctypes.c_uint32.from_address(address + 8).value
                if device:
                    found.append(ctypes.string_at(address + 12).decode("utf-8", "surrogateescape"))
                address = address + step if step else 0
        return tuple(found)

    def find(self, *, uuid: str = "", name: str = "") -> SeenDevice | None:
        """The device of a UUID, or a name, without its table; None when there is none."""
        library = libdm()
        info = info_type()()
        with task_of(INFO, name=name, uuid=uuid) as task:
            run_task(task, INFO, name or uuid)
            library.dm_task_get_info(task, _ctypes().byref(info))
            if not info.exists:
                return None
            return SeenDevice(
                name=text_of(library.dm_task_get_name(task)),
                uuid=text_of(library.dm_task_get_uuid(task)),
                number=f"{info.major}:{info.minor}",
                is_suspended=bool(info.suspended),
                has_live=bool(info.live_table),
                has_inactive=bool(info.inactive_table),
                is_read_only=bool(info.read_only),
                open_count=info.open_count,
            )

    def table(self, name: str) -> tuple[TableLine, ...]:
        """The live table. Where it holds a key in digits, that is left out: `=NAME:START` stands for it."""
        with targets_of(TABLE, name) as targets:
            return tuple(line_of(name, *target) for target in targets)

    def status(self, name: str) -> tuple[TableLine, ...]:
        """What the targets of a device say of their state."""
        with targets_of(STATUS, name) as targets:
            return tuple(
                TableLine(start_sectors=start, length_sectors=length, kind=kind, words=words_of(bytes(params)))
                for start, length, kind, params in targets
            )

    def keys_of(self, name: str) -> dict[str, VolumeKey]:
        """The keys in digits of the live table, by their words in `table`; the caller closes them."""
        with targets_of(TABLE, name) as targets:
            found: dict[str, VolumeKey] = {}
            for start, _, kind, params in targets:
                place = digits_place(kind, params)
                if place is not None:
                    found[f"{KEY}{name}:{start}"] = VolumeKey(undigits(params[place[0] : place[1]]))
            return found

    def deps(self, name: str) -> tuple[str, ...]:
        """MAJOR:MINOR of the devices that a device lies on."""
        ctypes = _ctypes()
        with task_of(DEPS, name=name) as task:
            run_task(task, DEPS, name)
            address = libdm().dm_task_get_deps(task)
            count = ctypes.c_uint32.from_address(address).value if address else 0
            numbers = [ctypes.c_uint64.from_address(address + 8 + 8 * i).value for i in range(count)]
        return tuple(f"{os.major(number)}:{os.minor(number)}" for number in numbers)

    def create(self, name: str, uuid: str, minor: int | None = None) -> None:
        """Make a device without a table; it has a node when it is resumed. With `minor` it has that number."""
        library = libdm()
        with task_of(CREATE, name=name, uuid=uuid) as task:
            if minor is not None:
                library.dm_task_set_major(task, device_mapper_major())
                library.dm_task_set_minor(task, minor)
            try:
                run_task(task, CREATE, name)
            except DeviceMapperError as error:
                if error.errno in (errno.EBUSY, errno.EEXIST):
                    raise DeviceMapperError(
                        f"device-mapper has a device of the name {name} or its UUID that is not this volume's; "
                        f"see: dmsetup info {name}",
                        errno=error.errno,
                    ) from None
                raise

    def load(
        self, name: str, lines: tuple[TableLine, ...], *, is_read_only: bool, keys: Mapping[str, Secret]
    ) -> None:
        """Load a table behind the live one; `keys` has the keys in digits by their words (`=NAME`)."""
        library = libdm()
        with task_of(RELOAD, name=name) as task:
            library.dm_task_secure_data(task)
            if is_read_only:
                library.dm_task_set_ro(task)
            for line in lines:
                with joined(line.words, keys) as params:
                    if not library.dm_task_add_target(
                        task, line.start_sectors, line.length_sectors, line.kind.encode(), params
                    ):
                        raise DeviceMapperError(f"the table of {name} cannot be made: out of memory")
            try:
                run_task(task, RELOAD, name)
            except DeviceMapperError as error:
                raise _explained(error, name, lines) from None

    def clear(self, name: str) -> None:
        """Forget the table behind the live one."""
        with task_of(CLEAR, name=name) as task:
            run_task(task, CLEAR, name)

    def suspend(self, name: str, *, flushes: bool = True, freezes: bool = True) -> None:
        """Let nothing through; `flushes` what is on its way, `freezes` a file system on it. This process has all its
        memory at hand from then on: it may be on the volume itself."""
        library = libdm()
        _stay_in_memory()
        with task_of(SUSPEND, name=name) as task:
            if not flushes:
                library.dm_task_no_flush(task)
            if not freezes:
                library.dm_task_skip_lockfs(task)
            run_task(task, SUSPEND, name)

    def resume(self, name: str, *, is_hidden: bool = False, read_ahead: int | None = None) -> None:
        """Put the loaded table in force, if there is one, and let everything through."""
        library = libdm()
        with task_of(RESUME, name=name) as task:
            if read_ahead is not None:
                library.dm_task_set_read_ahead(task, max(read_ahead, 0), 0)
            self._set_cookie(task, _HIDDEN_RULES if is_hidden else 0)
            try:
                run_task(task, RESUME, name)
            except DeviceMapperError as error:
                if error.errno == _NOBODY_RESUMES:
                    raise DeviceMapperError(
                        f"{name} is frozen and its key is not in the kernel; see: lvchange --resumekey",
                        errno=error.errno,
                    ) from None
                raise

    def rename(self, name: str, new: str) -> None:
        """Give a device another name."""
        with task_of(RENAME, name=name) as task:
            libdm().dm_task_set_newname(task, new.encode())
            self._set_cookie(task, 0)
            try:
                run_task(task, RENAME, name)
            except DeviceMapperError as error:
                if error.errno in (errno.EBUSY, errno.EEXIST):
                    raise DeviceMapperError(
                        f"{name} cannot be renamed: device-mapper has another device {new}", errno=error.errno
                    ) from None
                raise

    def remove(self, name: str) -> None:
        """Take a device away; who opens it for a moment, as udevd does, is waited for."""
        import time

        deadline = time.monotonic() + _LAST_CLOSE_SECONDS
        while True:
            with task_of(REMOVE, name=name) as task:
                self._set_cookie(task, 0)
                try:
                    run_task(task, REMOVE, name)
                except DeviceMapperError as error:
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        raise
                else:
                    return
            self.settle()
            time.sleep(0.1)

    def message(
        self, name: str, sector: int, words: tuple[str, ...], keys: Mapping[str, Secret] | None = None
    ) -> None:
        """Send a message to the target that has the sector; `keys` has keys in digits by their words."""
        library = libdm()
        with task_of(MESSAGE, name=name) as task, joined(words, keys or {}) as text:
            library.dm_task_secure_data(task)
            library.dm_task_set_sector(task, sector)
            library.dm_task_set_message(task, text)
            run_task(task, MESSAGE, name)

    def settle(self) -> None:
        """Wait until the nodes of all that was done are there, or gone."""
        cookie, self._cookie = self._cookie, None
        if cookie is not None:
            libdm().dm_udev_wait(cookie.value)

    def link(self, vg_name: str, lv_name: str, name: str) -> None:
        """Make /dev/VG/LV for a device, unless udevd has, and see to its node."""
        self.see_to_node(name)
        make_link(self._dev_dir, vg_name, lv_name, self.path_of(name))

    def see_to_node(self, name: str) -> None:
        """Make a device's node if it is not there, and remove those of names that it had."""
        found = self.find(name=name)
        if found is not None and self.number_of(self.path_of(name)) != found.number:
            with task_of(MKNODES, name=name) as task:
                run_task(task, MKNODES, name)
            libdm().dm_task_update_nodes()
            remove_nodes(os.path.join(self._dev_dir, "mapper"), found.number, but=name)

    def unlink(self, vg_name: str, lv_name: str) -> None:
        """Take /dev/VG/LV away, unless udevd has."""
        remove_link(self._dev_dir, vg_name, lv_name)

    def put_key(self, description: str, key: Secret) -> None:
        """Keep a key where only the kernel can read it; raises KeyringError."""
        from cryptlv.host.keyring import LOGON, put_key

        put_key(LOGON, description, key)

    def has_key(self, description: str) -> bool:
        """Whether a key is there, and within the reach of what this process has the kernel do."""
        from cryptlv.host.keyring import LOGON, find_key

        return find_key(LOGON, description) is not None

    def drop_key(self, description: str) -> None:
        """Forget a key; raises KeyringError."""
        from cryptlv.host.keyring import LOGON, drop_key

        drop_key(LOGON, description)

    def _set_cookie(self, task: int, flags: int) -> None:
        if self._cookie is None:
            self._cookie = _ctypes().c_uint32(0)
        if not libdm().dm_task_set_cookie(task, _ctypes().byref(self._cookie), flags):
            raise DeviceMapperError("udev cannot be told of device-mapper's devices: see dmsetup udevcookies")


def holder_of(number: str) -> str:
    """What a device (MAJOR:MINOR) is in use for: where it is mounted, or as a part of what; "" when that is not
    known. Who has it otherwise open may be about to close it."""
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            words = line.split()
            if len(words) > 4 and words[2] == number:
                return f"mounted at {words[4]}"
    with suppress(OSError):
        holders = os.listdir(f"/sys/dev/block/{number}/holders")
        if holders:
            return f"part of {min(holders)}"
    return ""


@cache
def device_mapper_major() -> int:
    """The major number of device-mapper's devices."""
    from cryptlv.host.system import observe_dm_major

    return observe_dm_major()


def _ctypes() -> Any:
    import ctypes

    return ctypes


@cache
def _stay_in_memory() -> None:
    """Have everything of this process in memory, and all modules that it will need: what would be read from a
    suspended volume is never there. A failure is no error: most volumes are not those of the system."""
    import ctypes
    import time  # noqa: F401 - for `remove`

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).mlockall(_LOCK_CURRENT)


def _explained(error: DeviceMapperError, name: str, lines: tuple[TableLine, ...]) -> DeviceMapperError:
    """Why a table was refused, as far as its error number says it."""
    crypt = next((line for line in lines if line.kind == "crypt"), None)
    number = error.errno
    reason = ""
    if crypt is not None and number == errno.ENOENT:
        reason = f"the kernel has no cipher {crypt.words[0]}; its module may be missing"
    elif number == errno.EBUSY:
        reason = "one of its physical volumes is in use by somebody else (mounted, or a part of another device)"
    elif number in (errno.ENODEV, errno.ENXIO):
        reason = "one of its physical volumes is gone"
    elif crypt is not None and number == errno.EINVAL:
        hint = (
            "; a kernel that takes no keys from its keyring needs --no-keyring" if crypt.key_word[:1] == ":" else ""
        )
        reason = (
            f"the kernel does not take cipher {crypt.words[0]} with this key, or a place on a disk (see dmesg){hint}"
        )
    elif number == errno.EINVAL:
        reason = "the kernel does not take it: a target that it lacks, or a disk that is too small (see dmesg)"
    if not reason:
        return error
    return DeviceMapperError(f"device-mapper cannot load a table for {name}: {reason}", errno=number)
