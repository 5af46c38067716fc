"""Volumes in the kernel: activated, deactivated, and kept in step with every change of their volume group.

The plans are pure (`model/stack.py`); here the world is looked at, keys are handed over, and plans are run. The
caller holds the group's lock for writing wherever something is changed.
"""

from __future__ import annotations

from contextlib import ExitStack

from cryptlv.errors import ActivationError, CryptlvError, DeviceMapperError, InUseError, RefusedError
from cryptlv.host.devices import device_number
from cryptlv.host.kernel import ids_in_kernel, volume_id
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptlv.activate.run import StackRun
    from cryptlv.host.scan import Group
    from cryptlv.keys.handler import CipherParameters
    from cryptlv.model.mapping import VolumeMapping
    from cryptlv.model.stack import SeenDevice, StoreKey
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.ops.session import Session
    from cryptlv.report.rows import KernelState
    from cryptlv.secret import VolumeKey

    Unlocked = Mapping[str, tuple[CipherParameters, VolumeKey | None]]
    """For each keystore its parameters, and its key, None where the kernel has it."""

KERNEL = "dm"
"""The backend's word on the command line."""


def kernel_ids(session: Session) -> frozenset[str]:
    """The ids of all volumes, hidden ones too, that have a device in the kernel."""
    if not session.has_own_kernel:
        return ids_in_kernel()
    return frozenset(filter(None, map(volume_id, session.kernel.lvm_uuids())))


def active_ids(session: Session) -> frozenset[str]:
    """The ids of all volumes that are active, in the kernel or in user space."""
    from cryptlv.activate.process import active_lv_ids

    return active_lv_ids(session.directories.run_dir) | kernel_ids(session)


def kernel_states(session: Session) -> dict[str, KernelState]:
    """What the kernel says of each volume that it has active, by the volume's id; nothing of one that it hides from
    this user."""
    from cryptlv.report.rows import KernelState

    if not kernel_ids(session) or not session.kernel.is_usable():
        return {}
    kernel = session.kernel
    found = {}
    for uuid in kernel.lvm_uuids():
        device = kernel.find(uuid=uuid)
        lv_id = volume_id(uuid)
        if device is None or not lv_id or (lv_id in found and not uuid.endswith(lv_id.replace("-", ""))):
            continue  # of a volume that lvm2 stacks the plain UUID is the one on top
        major, _, minor = device.number.partition(":")
        found[lv_id] = KernelState(
            number=(int(major), int(minor)),
            read_ahead_bytes=kernel.read_ahead_bytes(device.number),
            is_suspended=device.is_suspended,
            has_live=device.has_live,
            has_inactive=device.has_inactive,
            is_read_only=device.is_read_only,
            open_count=device.open_count,
        )
    return found


def is_possible(session: Session, paths: Iterable[str]) -> bool:
    """Whether volumes on these devices can be activated in the kernel here."""
    paths = tuple(paths)
    if not session.has_own_kernel and any(device_number(path)[0] < 0 for path in paths):
        return False  # image files: nothing is loaded for what cannot be
    kernel = session.kernel
    return kernel.is_usable() and all(map(kernel.number_of, paths))


def check_possible(session: Session, paths: Iterable[str]) -> None:
    """Raise RefusedError or DeviceMapperError when they cannot."""
    session.kernel.check_usable()
    for path in paths:
        if not session.kernel.number_of(path):
            raise RefusedError(
                f"{printable(path)} is no block device, which the kernel needs: attach it with losetup, or use "
                "--backend auto"
            )


class Stack(Record):
    """A volume's devices: `uuids` of all that it may have, the topmost first, and those that are `seen`, by UUID."""

    vg_name: str
    lv_name: str
    uuids: tuple[str, ...]
    seen: Mapping[str, SeenDevice]

    @property
    def shown(self) -> str:
        """The volume's name for messages."""
        return f"{printable(self.vg_name)}/{printable(self.lv_name)}"

    @property
    def in_order(self) -> tuple[SeenDevice, ...]:
        """Those that are there, the topmost first."""
        return tuple(self.seen[uuid] for uuid in self.uuids if uuid in self.seen)


def observe_stack(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> Stack:
    """What the kernel has of a volume; raises RefusedError for one whose devices are stock lvm2's to manage."""
    from cryptlv.model.stack import stack_uuids

    uuids = stack_uuids(vg, lv)
    kernel = session.kernel
    seen: dict[str, SeenDevice] = {}
    for uuid in uuids:
        found = kernel.find(uuid=uuid)
        if found is not None:
            ahead = kernel.read_ahead_bytes(found.number) // SECTOR_SIZE
            lines = kernel.table(found.name) if found.has_live else ()
            seen[uuid] = found.replace(lines=lines, read_ahead_sectors=ahead)
    return Stack(vg_name=vg.name, lv_name=lv.name, uuids=uuids, seen=seen)


def _has_digits(device: SeenDevice) -> bool:
    from cryptlv.model.stack import KEY

    return any(line.key_word.startswith(KEY) for line in device.lines)


def _thaw_leftovers(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> Stack:
    """What the kernel has of a volume, none of it frozen.

    A suspended device whose key is in its table may have been frozen, its key being wiped: then what the table shows
    is no key. Only the kernel knows, and resumes no such device. Raises InUseError for a frozen volume.
    """
    import errno

    stack = observe_stack(session, vg, lv)
    kernel = session.kernel
    frozen = [device for device in stack.in_order if device.is_suspended and _has_digits(device)]
    for device in frozen:
        if device.has_inactive:
            kernel.clear(device.name)
        try:
            kernel.resume(device.name)
        except DeviceMapperError as error:
            if error.errno != errno.EAGAIN:
                raise
            raise InUseError(
                f"{stack.shown} is frozen and its key wiped; first: cryptlv lvchange --resumekey {stack.shown}"
            ) from None
    return observe_stack(session, vg, lv) if frozen else stack


def used_keys(session: Session, vg: VolumeGroup, but: Iterable[str] = ()) -> frozenset[str]:
    """The descriptions of keys that devices of a volume group refer to, but for devices of some UUIDs."""
    from cryptlv.model.stack import PREFIX, described_key
    from cryptlv.names import parse_uuid

    kernel = session.kernel
    own = PREFIX + parse_uuid(vg.id)
    left_out = set(but)
    used: set[str] = set()
    for uuid in kernel.lvm_uuids():
        device = kernel.find(uuid=uuid) if uuid.startswith(own) and uuid not in left_out else None
        if device is not None and device.has_live:
            used.update(described_key(line.key_word) for line in kernel.table(device.name))
    return frozenset(used - {""})


def description_of(vg: VolumeGroup, store_name: str) -> str:
    """What the key of a keystore is called in the kernel's keyring."""
    from cryptlv.model.stack import key_description

    return key_description(vg.id, vg.lv(store_name).id)


def _store_keys(vg: VolumeGroup, unlocked: Unlocked, *, by_keyring: bool) -> dict[str, StoreKey]:
    """What tables say of each keystore's key."""
    from cryptlv.model.stack import KEY, StoreKey, key_reference

    found = {}
    for name, (parameters, key) in unlocked.items():
        size = len(key) if key is not None else parameters.key_size_bits // 8
        word = key_reference(size, description_of(vg, name)) if by_keyring else KEY + name
        found[name] = StoreKey(
            cipher=parameters.cipher,
            sector_size=parameters.sector_size,
            word=word,
            has_large_ivs=parameters.has_large_ivs,
        )
    return found


def _numbers(session: Session, group: Group, mapping: VolumeMapping, stack: Stack | None = None) -> dict[str, str]:
    """MAJOR:MINOR of the physical volumes that a mapping lies on; raises RefusedError for one that is not there."""
    numbers = {}
    for pv_id in mapping.pv_ids:
        number = session.kernel.number_of(group.pv_paths[pv_id]) if pv_id in group.pv_paths else ""
        if not number:
            raise RefusedError(f"physical volume {printable(pv_id)} is gone, or no block device")
        numbers[pv_id] = number
    for uuid, device in (stack.seen if stack is not None else {}).items():
        numbers[volume_id(uuid)] = device.number
    return numbers


def activate_in_kernel(
    session: Session, group: Group, mapping: VolumeMapping, unlocked: Unlocked, *, by_keyring: bool = True
) -> str:
    """Have the kernel make a volume's devices; gives its path in /dev.

    The keys go to the kernel's keyring, or with `by_keyring` false into the tables. A failure leaves nothing behind.
    Raises DeviceMapperError, KeyringError, RefusedError, InUseError.
    """
    from cryptlv.activate.run import StackRun
    from cryptlv.model.stack import KEY, plan_stack, wanted_stack

    vg, kernel = group.vg, session.kernel
    stack = _thaw_leftovers(session, vg, vg.lv(mapping.lv_name))
    numbers = _numbers(session, group, mapping, stack)
    wanted = wanted_stack(mapping, _store_keys(vg, unlocked, by_keyring=by_keyring))
    plan = plan_stack(wanted, stack.seen, numbers)
    with ExitStack() as undo:
        keys: dict[str, VolumeKey] = {}
        for name, (_, key) in unlocked.items():
            if key is None:
                continue
            if by_keyring:
                description = description_of(vg, name)
                if not kernel.has_key(description):
                    undo.callback(forget, session, description)
                kernel.put_key(description, key)
            else:
                keys[KEY + name] = key
        StackRun(kernel, plan, numbers, keys).whole()
        undo.pop_all()
    return f"/dev/{vg.name}/{mapping.lv_name}"


def forget(session: Session, description: str) -> None:
    """Drop a key from the kernel's keyring; a failure is a warning."""
    from cryptlv.activate import run

    run.fault_point("before forgetting a key")
    try:
        session.kernel.drop_key(description)
    except CryptlvError as error:
        session.warn(f"{error}; see: keyctl show @u")


def _may_have_devices(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> bool:
    """Whether the kernel has a device of a volume or of a part of it."""
    found = kernel_ids(session)
    parts = {name for segment in lv.segments for _, name in segment.parts()}
    return bool(found) and any(other.id in found for other in vg.lvs if other.id == lv.id or other.name in parts)


def deactivate_in_kernel(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> bool:
    """Take a volume's devices away, and its keys when no other active volume needs them; says whether it had any.

    Raises InUseError when it is open, RefusedError for a type that is stock lvm2's, DeviceMapperError.
    """
    from cryptlv.activate.dm import holder_of
    from cryptlv.activate.run import StackRun
    from cryptlv.model.stack import described_key, plan_removal
    from cryptlv.names import split_dm_name

    if not _may_have_devices(session, vg, lv):
        if any(segment.keystores for segment in lv.segments) and session.kernel.is_usable() and not session.test:
            forget_unused(session, vg, lv)  # what a command left that was killed
        return False
    stack = observe_stack(session, vg, lv)
    devices = stack.in_order
    if not devices:
        return False
    if session.test:
        return True
    kernel = session.kernel
    top = devices[0]
    link = split_dm_name(top.name) if top.uuid == stack.uuids[0] else ("", "")
    held = holder_of(top.number) if top.open_count else ""
    if held:
        raise InUseError(f"Logical volume {stack.shown} is in use: {held}")
    with ExitStack() as exit_stack:
        keys = {}
        for device in devices:
            if _has_digits(device) and not device.is_suspended:
                for word, key in kernel.keys_of(device.name).items():
                    keys[word] = exit_stack.enter_context(key)
        numbers = {volume_id(device.uuid): device.number for device in devices}
        try:
            StackRun(kernel, plan_removal(devices, link), numbers, keys).whole()
        except DeviceMapperError as error:
            import errno

            if error.errno != errno.EBUSY:
                raise
            raise InUseError(f"Logical volume {stack.shown} is in use") from None
    mine = {described_key(line.key_word) for device in devices for line in device.lines}
    forget_unused(session, vg, lv, mine)
    return True


def forget_unused(session: Session, vg: VolumeGroup, lv: LogicalVolume, also: Iterable[str] = ()) -> None:
    """Drop the keys of a volume's keystores, and others by their descriptions, that no active volume needs."""
    mine = {description_of(vg, name) for segment in lv.segments for name in segment.keystores if vg.find_lv(name)}
    for description in sorted((mine | set(also)) - {""} - used_keys(session, vg)):
        forget(session, description)


def refresh(session: Session, group: Group, lv: LogicalVolume) -> bool:
    """Have the kernel's devices of an active volume be as the metadata say, finishing what a killed command began;
    whether anything was to be done. Raises what `LiveChange` raises."""
    live = LiveChange(session, group, group.vg, [(lv, lv)])
    if not session.test:
        live.prepare()
        live.freeze()
        live.finish()
    return live.is_needed


class LiveChange:
    """The kernel's part of a change of a group: `prepare`, `freeze`, then the commit, then `finish`; or `undo`.

    `pairs` are active volumes, as they are and as they will be. No passphrase is needed: their keys are in the
    kernel's keyring, or in their tables. Raises RefusedError when a key is in neither any more, InUseError for a
    frozen volume, and what `StackRun` raises.
    """

    def __init__(
        self, session: Session, group: Group, after: VolumeGroup, pairs: Sequence[tuple[LogicalVolume, LogicalVolume]]
    ) -> None:
        self._exit_stack = ExitStack()
        self._runs: list[tuple[str, StackRun]] = []
        try:
            for before, new in pairs:
                self._plan(session, group, after, before, new)
        except BaseException:
            self._exit_stack.close()
            raise

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be done to a device."""
        from cryptlv.model.stack import Link, Node

        return any(not isinstance(step, Link | Node) for _, run in self._runs for step in run.plan.steps)

    def _plan(
        self, session: Session, group: Group, after: VolumeGroup, before: LogicalVolume, new: LogicalVolume
    ) -> None:
        from cryptlv.activate.run import StackRun
        from cryptlv.model.mapping import map_volume
        from cryptlv.model.stack import KEY, Load, plan_stack, wanted_stack

        stack = _thaw_leftovers(session, group.vg, before)
        if not stack.seen:
            return
        mapping = map_volume(after, new)
        numbers = _numbers(session, group, mapping, stack)
        by_keyring = not any(map(_has_digits, stack.in_order))
        unlocked = {
            name: (store_parameters(session, group, after, name), None) for name in mapping.keystores
        }  # fmt: skip
        wanted = wanted_stack(mapping, _store_keys(after, unlocked, by_keyring=by_keyring))
        plan = plan_stack(wanted, stack.seen, numbers)
        keys: dict[str, VolumeKey] = {}
        loads = any(isinstance(step, Load) for step in plan.steps)
        if loads and by_keyring:
            _check_keys(session, after, mapping, stack)
        elif loads:
            for device in stack.in_order:
                found = session.kernel.keys_of(device.name) if _has_digits(device) else {}
                for word, key in found.items():
                    keys[word] = self._exit_stack.enter_context(key)
            for line in wanted[-1].lines:
                live = keys.get(f"{KEY}{stack.in_order[0].name}:{line.start_sectors}")
                if live is not None:
                    keys.setdefault(line.key_word, live)
            missing = [name for name in mapping.keystores if KEY + name not in keys]
            if missing:
                raise RefusedError(
                    f"{stack.shown}: the key of {printable(missing[0])} is not in the kernel: deactivate it first"
                )
        self._runs.append((stack.shown, StackRun(session.kernel, plan, numbers, keys)))

    def prepare(self) -> None:
        """Load what will be in force. A failure leaves nothing behind."""
        self._each("prepare")

    def freeze(self) -> None:
        """Suspend what the commit must not find at work. A failure leaves nothing behind."""
        self._each("freeze")

    def _each(self, what: str) -> None:
        try:
            for _, run in self._runs:
                getattr(run, what)()
        except BaseException:
            self.undo()
            raise

    def finish(self) -> None:
        """Put in force what was prepared, all that can be; raises ActivationError when something could not."""
        problems = []
        for name, run in self._runs:
            try:
                run.finish()
            except CryptlvError as error:
                problems.append(f"{error}; when that is mended: cryptlv lvchange --refresh {name}")
        self._exit_stack.close()
        if problems:
            raise ActivationError("; ".join(problems))

    def undo(self) -> None:
        """Take back what was prepared; raises DeviceMapperError that says what could not be."""
        problems = []
        for _, run in reversed(self._runs):
            try:
                run.undo()
            except CryptlvError as error:
                problems.append(str(error))
        self._exit_stack.close()
        if problems:
            raise DeviceMapperError("; ".join(problems))


def lost_keys(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> tuple[str, ...]:
    """The keystores of an active volume whose keys its tables refer to, or of one that a killed command left without
    a table would, and the kernel's keyring does not have.

    Raises RefusedError when one of them stores nothing: a wrong key for it would not be noticed, and what is written
    with it would be lost.
    """
    from cryptlv.model.stack import described_key
    from cryptlv.ops.keystore import keystore_segment

    stack = observe_stack(session, vg, lv)
    used = {described_key(line.key_word) for device in stack.in_order for line in device.lines}
    is_whole = len(stack.seen) == len(stack.uuids) and all(device.has_live for device in stack.in_order)
    names = dict.fromkeys(name for segment in lv.segments for name in segment.keystores)
    lost = []
    for name in names:
        description = description_of(vg, name)
        if (description in used or not is_whole) and not session.kernel.has_key(description):
            lost.append(name)
            if not keystore_segment(vg, name).areas:
                raise RefusedError(
                    f"{stack.shown}: its key is no longer in the kernel's keyring, and a wrong one would not be "
                    "noticed: deactivate it and activate it again"
                )
    return tuple(lost)


def _check_keys(session: Session, vg: VolumeGroup, mapping: VolumeMapping, stack: Stack) -> None:
    for name in mapping.keystores:
        if not session.kernel.has_key(description_of(vg, name)):
            raise RefusedError(
                f"{stack.shown}: the key of {printable(name)} is no longer in the kernel's keyring; give it again: "
                f"cryptlv lvchange --refresh {stack.shown}"
            )


def store_parameters(session: Session, group: Group, vg: VolumeGroup, name: str) -> CipherParameters:
    """The cipher of a keystore, as its handler knows it without a key."""
    from cryptlv.ops.handlers import find_handler
    from cryptlv.ops.keystore import attributes_of, keystore_segment, read_image

    attributes = attributes_of(keystore_segment(vg, name))
    return find_handler(attributes.handler).parameters(attributes, read_image(session, vg, name, group.pv_paths))


def live_change(session: Session, group: Group, after: VolumeGroup) -> LiveChange | None:
    """The kernel's part of a change, None when no volume that it touches is active there."""
    before = group.vg
    active = kernel_ids(session)
    if not any(lv.id in active for lv in before.lvs):
        return None
    new = {lv.id: lv for lv in after.lvs}
    pairs = [
        (lv, new[lv.id])
        for lv in before.lvs
        if lv.is_visible and lv.id in active and lv.id in new and _is_touched(before, lv, after, new[lv.id])
    ]
    return LiveChange(session, group, after, pairs) if pairs else None


def _is_touched(before: VolumeGroup, lv: LogicalVolume, after: VolumeGroup, new: LogicalVolume) -> bool:
    """Whether the devices of a volume are other ones after a change."""
    from cryptlv.model.mapping import map_volume

    if before.name == after.name and lv == new and not any(True for segment in lv.segments for _ in segment.parts()):
        return False
    try:
        former = map_volume(before, lv)
    except CryptlvError:
        return False  # of a type that is lvm2's, or in pieces: commands that touch it refuse it themselves
    return former != map_volume(after, new)
