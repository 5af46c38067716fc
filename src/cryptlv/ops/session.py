"""A session: what one command works with. Directories, devices, locks, the environment, and where warnings go."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

from cryptlv.errors import CheckError, CryptlvError, RefusedError
from cryptlv.host.scan import Parsed, scan
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from cryptlv.device import Device
    from cryptlv.environment import Environment
    from cryptlv.host.devicesfile import DevicesFile
    from cryptlv.host.locks import LockDirectory
    from cryptlv.host.scan import Group, World
    from cryptlv.host.system import Directories

    OpenDevice = Callable[[str, bool], Device]
    Warn = Callable[[str], None]


def _ignore(_: str) -> None:
    """Where messages go that nobody wants."""


class Session:
    """One command's dealings with the machine; `close()` gives every device back.

    `devices` are the paths of --devices, empty for those of the devices file. `test` stops each operation before its
    first write. `force` counts the -f options. `open_device(path, writable)` opens a device: FileDevice, or in tests
    a device that keeps a record.
    """

    def __init__(
        self,
        directories: Directories,
        env: Environment,
        *,
        devices: tuple[str, ...] = (),
        test: bool = False,
        force: int = 0,
        warn: Warn = _ignore,
        inform: Warn = _ignore,
        open_device: OpenDevice | None = None,
    ) -> None:
        self.directories = directories
        self.env = env
        self.named_devices = devices
        self.test = test
        self.force = force
        self._warn = warn
        self.inform = inform
        self._said: set[str] = set()
        self._open_device = open_device or _open_file_device
        self._parsed = Parsed()
        self._opened: dict[str, tuple[bool, Device]] = {}

    def device(self, path: str, *, writable: bool = False) -> Device:
        """The device at a path, opened once and kept; raises DeviceError or NotFoundError."""
        known = self._opened.get(path)
        if known is not None and (known[0] or not writable):
            return known[1]
        device = self._open_device(path, writable)
        if known is not None:
            known[1].close()
        self._opened[path] = (writable, device)
        return device

    def warn(self, message: str) -> None:
        """Say a warning, once in a session: a command scans the devices several times."""
        if message not in self._said:
            self._said.add(message)
            self._warn(message)

    def close(self) -> None:
        """Close every device."""
        while self._opened:
            _, (_, device) = self._opened.popitem()
            device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def devices_file(self) -> DevicesFile:
        """The devices file of the system directory."""
        from cryptlv.host.devicesfile import DevicesFile

        return DevicesFile(self.directories.devices_file, self.directories.lock_dir)

    def device_paths(self) -> tuple[str, ...]:
        """The devices that this command looks at."""
        return self.named_devices or self.devices_file().paths()

    def remember_devices(self, pvs: Iterable[tuple[str, str]]) -> None:
        """Enter (path, pv id) pairs into the devices file, unless --devices names the devices."""
        if not self.named_devices:
            self.devices_file().add(tuple(pvs))

    def world(self, also: Iterable[str] = (), *, silent: bool = False) -> World:
        """Scan the devices, and those of `also`; says each warning unless `silent`."""
        warn = _ignore if silent else self.warn
        found = scan(self._present([*self.device_paths(), *also], warn), self._parsed)
        for warning in found.warnings:
            warn(warning)
        return found

    def _present(self, paths: Iterable[str], warn: Warn) -> Iterator[Device]:
        for path in dict.fromkeys(paths):
            try:
                yield self.device(path)
            except CryptlvError as error:
                warn(str(error))

    def locks(self) -> LockDirectory:
        """Stock lvm2's lock files."""
        from cryptlv.host.locks import LockDirectory

        return LockDirectory(self.directories.lock_dir)

    @contextmanager
    def locked(
        self, *vg_names: str, write: bool, global_write: bool = False, global_read: bool = False
    ) -> Iterator[None]:
        """Hold the locks of an operation, in lvm2's order: the global one first where it is needed, then the VGs'."""
        locks = self.locks()
        with ExitStack() as stack:
            if global_write or global_read:
                stack.enter_context(locks.global_(write=global_write))
            for name in sorted(vg_names):
                stack.enter_context(locks.vg(name, write=write))
            yield

    def writable_group(self, name: str) -> Group:
        """The volume group of that name, to be changed; the caller holds its lock.

        Raises NotFoundError, and RefusedError when it must not be changed: exported, read-only, of another host,
        shared, or with missing physical volumes.
        """
        group = self.world().group(name)
        check_changeable(group)
        return group


def check_usable(group: Group) -> None:
    """Raise RefusedError when a volume group is not this host's to activate or change."""
    vg = group.vg
    name = printable(vg.name)
    if vg.is_exported:
        raise RefusedError(f"volume group {name!r} is exported; import it first")
    if vg.lock_type and vg.lock_type != "none":
        raise RefusedError(f"volume group {name!r} has lock type {printable(vg.lock_type)}: it needs lvmlockd")
    if vg.system_id:
        raise RefusedError(f"cannot access volume group {name!r} with system ID {printable(vg.system_id)}")
    if group.hazards:
        raise CheckError(group.hazards)


def check_changeable(group: Group) -> None:
    """Raise RefusedError when a volume group must not be changed from here."""
    check_usable(group)
    vg = group.vg
    name = printable(vg.name)
    if not vg.is_writable:
        raise RefusedError(f"volume group {name!r} is read-only")
    if group.missing_pv_ids or vg.is_partial:
        raise RefusedError(f"cannot change volume group {name!r} while physical volumes are missing")


def _open_file_device(path: str, writable: bool) -> Device:  # noqa: FBT001 - the shape of OpenDevice
    from cryptlv.host.devices import FileDevice

    return FileDevice(path, writable=writable)


def open_session(
    *,
    devices: tuple[str, ...] = (),
    test: bool = False,
    force: int = 0,
    command_line: str = "",
    warn: Warn = _ignore,
    inform: Warn = _ignore,
) -> Session:
    """The session of a command on this machine."""
    import os

    from cryptlv.host.system import make_environment, observe_directories

    directories = observe_directories(os.environ, os.geteuid())
    env = make_environment(command_line)
    return Session(directories, env, devices=devices, test=test, force=force, warn=warn, inform=inform)
