"""A session: what one command works with. Directories, devices, locks, the environment, and where warnings go."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

from cryptlv.errors import CheckError, CryptlvError, NotFoundError, RefusedError
from cryptlv.host.scan import Parsed, assemble, read_pvs
from cryptlv.names import check_vg_name, printable
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from cryptlv.activate.run import Kernel
    from cryptlv.device import Device
    from cryptlv.environment import Environment
    from cryptlv.host.devicesfile import DevicesFile
    from cryptlv.host.locks import LockDirectory
    from cryptlv.host.lvmconf import HostSettings
    from cryptlv.host.scan import FoundPv, Group, World
    from cryptlv.host.system import Directories
    from cryptlv.model.vg import VolumeGroup

    OpenDevice = Callable[[str, bool], Device]
    Warn = Callable[[str], None]


def _ignore(_: str) -> None:
    """Where messages go that nobody wants."""


class Session:
    """One command's dealings with the machine; `close()` gives every device back.

    `devices` are the paths of --devices, empty for those of the devices file. `test` stops each operation before its
    first write. `force` counts the -f options. `settings` are stock's, None for its defaults. `open_device(path,
    writable)` opens a device: FileDevice, or in tests a device that keeps a record. `autobackup` says whether backups
    and archives are written, None for what the settings say. Without `takes_locks` nobody is waited for. `kernel` is
    the device-mapper that volumes are activated with: this machine's, or in tests one that stands in for it.
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
        settings: HostSettings | None = None,
        autobackup: bool | None = None,
        takes_locks: bool = True,
        kernel: Kernel | None = None,
    ) -> None:
        self.directories = directories
        self.env = env
        self.named_devices = devices
        self.test = test
        self.force = force
        self._warn = warn
        self._inform = inform
        self._settings = settings
        self._autobackup = autobackup
        self._takes_locks = takes_locks
        self._kernel = kernel
        self.has_own_kernel = kernel is not None
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

    def inform(self, message: str) -> None:
        """Say something that the user may want to know, once in a session: what is planned is planned twice."""
        if message not in self._said:
            self._said.add(message)
            self._inform(message)

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

        return DevicesFile(self.directories.devices_file, self.directories.lock_dir, self.env.system_id)

    @property
    def kernel(self) -> Kernel:
        """The device-mapper that volumes are activated with; whether it is there is another question."""
        if self._kernel is None:
            from cryptlv.activate.dm import DeviceMapper

            self._kernel = DeviceMapper()
        return self._kernel

    @property
    def settings(self) -> HostSettings:
        """What stock lvm2's configuration says of this host."""
        if self._settings is None:
            from cryptlv.host.lvmconf import HostSettings

            self._settings = HostSettings(system_id=self.env.system_id)
        return self._settings

    @property
    def keeps_backups(self) -> bool:
        """Whether a change leaves a backup of what is in force then."""
        return self.settings.backup if self._autobackup is None else self._autobackup

    @property
    def keeps_archives(self) -> bool:
        """Whether a change leaves an archive file of what was in force before."""
        return self.settings.archive if self._autobackup is None else self._autobackup

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
        warnings: list[str] = []
        found = assemble(self._read(tuple(also), warnings), self._parsed, warnings)
        for warning in found.warnings:
            warn(warning)
        return found

    def world_on(self, paths: Iterable[str]) -> World:
        """What is on these devices, as if there were no others. Says nothing about it, but for what fails."""
        pvs = read_pvs(self._present(paths, self.warn), _ignore, self._parsed)
        return assemble(pvs, self._parsed)

    def consistent_world(self, vg_names: tuple[str, ...] = ()) -> World:
        """All that is there, each volume group (or each of those named) as it was under its lock.

        As stock's reports do, the locks are taken one after the other, so that a group that is being changed for long
        holds up nobody who changes another; while all are read, under the global lock, no device changes hands.
        Other groups than those named are as they were found.
        """
        warnings: list[str] = []
        with self.locked(write=False, global_read=not vg_names):
            pvs = {pv.path: pv for pv in self._read((), warnings)}
            first = assemble(pvs.values(), self._parsed)
            for name in vg_names or sorted({group.vg.name for group in first.groups}):
                with self.locked(name, write=False):
                    self._read_group(first, name, pvs, warnings)
        world = assemble(pvs.values(), self._parsed, warnings)
        for warning in world.warnings:
            self.warn(warning)
        return world

    def _read_group(self, first: World, name: str, pvs: dict[str, FoundPv], warnings: list[str]) -> None:
        """Read a group's physical volumes again, into `pvs`; everything, when it was not there or has more now."""
        groups = [group for group in first.groups if group.vg.name == name]
        paths = [path for group in groups for path in group.pv_paths.values()]
        again = read_pvs(self._present(paths, self.warn), warnings.append, self._parsed)
        known = {pv.label.pv_id for pv in pvs.values()} | {lost for group in groups for lost in group.missing_pv_ids}
        wanted = {pv.id for found in again for area in found.areas if area.vg is not None for pv in area.vg.pvs}
        if not groups or not wanted <= known:
            again = self._read((), warnings)
            paths = list(pvs)
        read = {pv.path: pv for pv in again}
        kept = {path: read.get(path, pv) for path, pv in pvs.items() if path in read or path not in paths}
        pvs.clear()
        pvs.update(kept | read)  # in the order in which they were found first

    def _read(self, also: tuple[str, ...], warnings: list[str]) -> list[FoundPv]:
        """The physical volumes on the devices of this command and on `also`.

        A listed device that is known by more than its name must have the PV id of its entry, or that of another one:
        names move from device to device, and what is not listed must not be used.
        """
        if self.named_devices:
            return read_pvs(
                self._present([*self.named_devices, *also], warnings.append), warnings.append, self._parsed
            )
        listed = self.devices_file()
        entries = listed.entries()
        foreign = listed.foreign_system_id()
        if foreign is not None:
            mine = self.env.system_id or "none"
            warnings.append(f"{listed.path} is of system ID {printable(foreign or 'none')}, this host's is {mine}")
        paths = [*(entry.path for entry in entries), *also]
        hint = f" (if it is gone for good, delete its line from {listed.path})"
        pvs = read_pvs(self._present(paths, warnings.append, hint), warnings.append, self._parsed)
        wanted = {entry.path: entry.pv_id for entry in entries if entry.pv_id and entry.path not in also}
        if not wanted:
            return pvs
        allowed = {entry.pv_id for entry in entries if entry.pv_id}
        kept = [pv for pv in pvs if pv.path not in wanted or not allowed.isdisjoint(_ids(pv))]
        warnings += [
            f"{pv.path}: ignored, this is another device than {listed.path} has under that name (lvmdevices --update)"
            for pv in pvs
            if pv not in kept
        ]
        return kept

    def _present(self, paths: Iterable[str], warn: Warn, hint: str = "") -> Iterator[Device]:
        """The devices that can be opened; `hint` says what to do about one that is not there."""
        for path in dict.fromkeys(paths):
            try:
                yield self.device(path)
            except CryptlvError as error:
                warn(f"{error}{hint if isinstance(error, NotFoundError) else ''}")

    def locks(self) -> LockDirectory:
        """Stock lvm2's lock files."""
        from cryptlv.host.locks import LockDirectory

        return LockDirectory(
            self.directories.lock_dir, waits=self.settings.waits_for_locks, is_off=not self._takes_locks
        )

    @contextmanager
    def locked(
        self, *vg_names: str, write: bool, global_write: bool = False, global_read: bool = False
    ) -> Iterator[None]:
        """Hold the locks of an operation, in lvm2's order: the global one first where it is needed, then the VGs'.

        Under the global lock for writing devices and volume groups come and go: lvm2's hints are emptied then.
        """
        locks = self.locks()
        with ExitStack() as stack:
            if global_write or global_read:
                stack.enter_context(locks.global_(write=global_write))
            if global_write and not self.test:
                from cryptlv.host.hints import hints_cleared

                stack.enter_context(hints_cleared(self.directories.hints_dir, self.warn))
            for name in sorted(vg_names):
                check_vg_name(name)  # it becomes a file name
                stack.enter_context(locks.vg(name, write=write))
            yield

    def writable_group(
        self, name: str, *, missing_ok: bool = False, exported_ok: bool = False, read_only_ok: bool = False
    ) -> Group:
        """The volume group of that name, to be changed; the caller holds its lock.

        Raises NotFoundError, CheckError for hazards, and RefusedError when it must not be changed: of another host,
        shared, and, unless the operation is fine with that, with missing physical volumes, exported or read-only.
        """
        world = self.world()
        group = world.group(name)
        self.check_changeable(group, world, missing_ok=missing_ok, exported_ok=exported_ok, read_only_ok=read_only_ok)
        self._mend_labels(world, group)
        return group

    def check_changeable(
        self,
        group: Group,
        world: World,
        *,
        missing_ok: bool = False,
        exported_ok: bool = False,
        read_only_ok: bool = False,
    ) -> None:
        """Raise what `writable_group` raises for a volume group that must not be changed."""
        name = group.vg.name
        self.check_usable(group, exported_ok=exported_ok)
        if not group.vg.is_writable and not read_only_ok:
            raise RefusedError(f"volume group {printable(name)!r} is read-only")
        for other in world.groups:
            if other.vg.is_unfinished and {pv.id for pv in other.vg.pvs} & set(group.missing_pv_ids):
                raise RefusedError(
                    f"a vgsplit or vgmerge of volume group {printable(name)} with {printable(other.vg.name)} was "
                    "interrupted: run that command again first"
                )
        if (group.missing_pv_ids or group.vg.is_partial) and not missing_ok:
            raise RefusedError(
                f"cannot change volume group {printable(name)!r} while physical volumes are missing; "
                f"see: cryptlv vgreduce --removemissing {printable(name)}"
            )

    def _mend_labels(self, world: World, group: Group) -> None:
        """Write the labels of PVs anew whose ids were being changed when the machine stopped."""
        for pv in world.pvs:
            if pv.label.former_id and group.pv_paths.get(pv.label.pv_id) == pv.path and not self.test:
                from cryptlv.ondisk.label import encode_label

                device = self.device(pv.path, writable=True)
                device.write(pv.label.sector * SECTOR_SIZE, encode_label(pv.label.replace(former_id="")))
                device.flush()

    def hidden_reason(self, vg: VolumeGroup, *, foreign: bool = False, shared: bool = False) -> str:
        """Why a volume group is not this host's to look at, "" when it is (lib/metadata/metadata.c:vg_read).

        With `foreign` another host's group is, with `shared` one that needs a lock manager.
        """
        name = printable(vg.name)
        if vg.lock_type not in ("", "none") and not shared:
            return f"cannot access volume group {name} with lock type {printable(vg.lock_type)}: it needs lvmlockd"
        if not foreign and not self.settings.allows(vg.system_id):
            mine = self.settings.system_id
            local = f"local system ID {mine}" if mine else "unknown local system ID"
            return f"cannot access volume group {name} with system ID {printable(vg.system_id or '')} with {local}"
        if "CLUSTERED" in vg.status:
            return f"cannot access clustered volume group {name}: see lvmlockd(8) for making it a shared one"
        return ""

    def check_accessible(self, vg: VolumeGroup) -> None:
        """Raise RefusedError when a volume group is another host's, shared or clustered."""
        reason = self.hidden_reason(vg)
        if reason:
            raise RefusedError(reason)

    def check_usable(self, group: Group, *, exported_ok: bool = False) -> None:
        """Raise RefusedError when a volume group is not this host's to activate or change, or is exported, and
        CheckError when its metadata would lead to a loss."""
        self.check_accessible(group.vg)
        if group.vg.is_unfinished and not exported_ok:
            raise RefusedError(
                f"volume group {printable(group.vg.name)!r} is exported since a vgsplit or vgmerge was interrupted: "
                "run that command again"
            )
        if group.vg.is_exported and not exported_ok:
            raise RefusedError(f"volume group {printable(group.vg.name)!r} is exported; import it first")
        if group.hazards:
            raise CheckError(group.hazards)


def _ids(pv: FoundPv) -> tuple[str, ...]:
    """The ids that a PV may be known by, without hyphens: two while it is being given another one."""
    return tuple(pv_id.replace("-", "") for pv_id in (pv.label.pv_id, pv.label.former_id) if pv_id)


def _open_file_device(path: str, writable: bool) -> Device:  # noqa: FBT001 - the shape of OpenDevice
    from cryptlv.host.devices import FileDevice

    return FileDevice(path, writable=writable, direct=True)


def open_session(
    *,
    devices: tuple[str, ...] = (),
    test: bool = False,
    force: int = 0,
    autobackup: bool | None = None,
    takes_locks: bool = True,
    command_line: str = "",
    warn: Warn = _ignore,
    inform: Warn = _ignore,
) -> Session:
    """The session of a command on this machine."""
    import os

    from cryptlv.host.lvmconf import configuration_directory, observe_settings
    from cryptlv.host.system import make_environment, observe_directories

    settings = observe_settings(configuration_directory(os.environ), os.uname().nodename)
    directories = observe_directories(os.environ, os.geteuid(), settings)
    session = Session(
        directories,
        make_environment(command_line, settings.system_id),
        devices=devices,
        test=test,
        force=force,
        warn=warn,
        inform=inform,
        settings=settings,
        autobackup=autobackup,
        takes_locks=takes_locks,
    )
    for warning in settings.warnings:
        session.warn(warning)
    return session
