"""A volume as device-mapper devices: what is wanted, what is there, and the steps from the one to the other.

Names and UUIDs are lvm2's (lib/activate/dev_manager.c): `VG-LV` with hyphens doubled, `LVM-` and the ids of the
volume group and the volume; a hidden part has a suffix behind a hyphen. A table is a tuple of lines in the words of
the kernel (Documentation/admin-guide/device-mapper), but for two: `@ID` stands for the device of the physical or
hidden volume of that id, which the kernel knows as MAJOR:MINOR, and `=NAME` for a key in hexadecimal digits.

A change comes in three parts. What is prepared can be taken back without a trace; then what must not be used while
the metadata change is suspended; after the commit the rest makes the kernel agree with the metadata. Each step knows
the steps that undo it.
"""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, refuse_parts
from cryptlv.names import DATA_SUFFIX, DM_CRYPT_FLAGS, dm_name, parse_uuid, printable, split_dm_name
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cryptlv.model.mapping import Target, VolumeMapping
    from cryptlv.model.vg import LogicalVolume, VolumeGroup

PREFIX = "LVM-"
PLACE, KEY = "@", "="
_STACKED = frozenset(("linear", "striped", "crypt"))


class TableLine(Record):
    """One line of a table: `words` are what stands behind the target's name `kind`."""

    start_sectors: int
    length_sectors: int
    kind: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """As `dmsetup table` shows it."""
        return " ".join((str(self.start_sectors), str(self.length_sectors), self.kind, *self.words))

    @property
    def key_word(self) -> str:
        """How the key is given, "" for another target than crypt."""
        return self.words[1] if self.kind == "crypt" and len(self.words) > 1 else ""


class StoreKey(Record):
    """What tables say of the key of a keystore: dm-crypt's specification, and the key itself as `word`; with
    `has_large_ivs` IVs count sectors of `sector_size` bytes."""

    cipher: str
    sector_size: int
    word: str
    has_large_ivs: bool = False


class WantedDevice(Record):
    """A device as it is to be. `link` is the volume's place in /dev, ("", "") for a hidden one."""

    name: str
    uuid: str
    lv_id: str
    lines: tuple[TableLine, ...]
    is_read_only: bool
    link: tuple[str, str] = ("", "")
    read_ahead: int | None = None
    minor: int | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether it is a part of another one."""
        return not self.link[0]

    @property
    def length_sectors(self) -> int:
        """Its size."""
        return sum(line.length_sectors for line in self.lines)


class SeenDevice(Record):
    """A device as the kernel has it; `number` is MAJOR:MINOR, `lines` the live table with its keys left out.
    `read_ahead_sectors` is None where nobody has looked."""

    name: str
    uuid: str
    number: str
    lines: tuple[TableLine, ...] = ()
    is_suspended: bool = False
    has_live: bool = False
    has_inactive: bool = False
    is_read_only: bool = False
    open_count: int = 0
    read_ahead_sectors: int | None = None

    @property
    def length_sectors(self) -> int:
        """Its size."""
        return sum(line.length_sectors for line in self.lines)


def lvm_uuid(vg_id: str, lv_id: str, suffix: str = "") -> str:
    """The UUID of a volume's device; both ids with hyphens."""
    return f"{PREFIX}{parse_uuid(vg_id)}{parse_uuid(lv_id)}" + (f"-{suffix}" if suffix else "")


def key_description(vg_id: str, store_id: str) -> str:
    """What the key of a keystore is called in the kernel's keyring; both ids with hyphens."""
    return f"cryptlv:{parse_uuid(vg_id)}{parse_uuid(store_id)}"


def key_reference(key_bytes: int, description: str) -> str:
    """dm-crypt's word for a key in the kernel's keyring."""
    return f":{key_bytes}:logon:{description}"


def described_key(word: str) -> str:
    """The description in such a word, "" in another one."""
    parts = word.split(":", 3)
    return parts[3] if word.startswith(":") and len(parts) == 4 else ""


def wanted_stack(mapping: VolumeMapping, keys: Mapping[str, StoreKey]) -> tuple[WantedDevice, ...]:
    """The devices of a volume, the lower ones first; `keys` has the key of each keystore, by its name."""
    return tuple(_wanted(mapping, keys, is_hidden=False))


def _wanted(mapping: VolumeMapping, keys: Mapping[str, StoreKey], *, is_hidden: bool) -> Iterator[WantedDevice]:
    for layer in mapping.layers:
        yield from _wanted(layer, keys, is_hidden=True)
    suffix = hidden_suffix(mapping.lv_name) if is_hidden else ""
    yield WantedDevice(
        name=dm_name(mapping.vg_name, mapping.lv_name),
        uuid=lvm_uuid(mapping.vg_id, mapping.lv_id, suffix),
        lv_id=mapping.lv_id,
        lines=tuple(table_line(target, keys) for target in mapping.targets),
        is_read_only=not mapping.writable,
        link=("", "") if is_hidden else (mapping.vg_name, mapping.lv_name),
        read_ahead=mapping.read_ahead,
        minor=mapping.minor,
    )


def hidden_suffix(lv_name: str) -> str:
    """What stands behind the ids in the UUID of a hidden volume, so that nobody takes it for one to be used."""
    return DATA_SUFFIX.removeprefix("_") if lv_name.endswith(DATA_SUFFIX) else "real"


def table_line(target: Target, keys: Mapping[str, StoreKey]) -> TableLine:
    """A target as a line, with @ID for each place."""
    if isinstance(target, LinearTarget):
        kind, words = "linear", [PLACE + target.pv_id, str(target.offset_sectors)]
    elif isinstance(target, StripedTarget):
        kind, words = "striped", [str(len(target.stripes)), str(target.chunk_sectors)]
        for pv_id, offset_sectors in target.stripes:
            words += [PLACE + pv_id, str(offset_sectors)]
    elif isinstance(target, CryptTarget):
        key = keys[target.crypto_store]
        kind, words = "crypt", [key.cipher, key.word, str(target.iv_offset_sectors)]
        words += [PLACE + target.pv_id, str(target.offset_sectors)]
        options = [flag for flag in DM_CRYPT_FLAGS if flag in target.flags]
        if key.sector_size != 512:
            options.append(f"sector_size:{key.sector_size}")
        if key.has_large_ivs:
            options.append("iv_large_sectors")
        if options:
            words += [str(len(options)), *options]
    else:
        raise TypeError(f"no table line for {type(target).__name__}")
    return TableLine(
        start_sectors=target.start_sectors, length_sectors=target.length_sectors, kind=kind, words=tuple(words)
    )


def resolved(line: TableLine, numbers: Mapping[str, str]) -> TableLine:
    """The line with MAJOR:MINOR for each @ID, as far as it is known."""
    words = tuple(numbers.get(word[1:], word) if word.startswith(PLACE) else word for word in line.words)
    return line.replace(words=words)


def _comparable(lines: Iterable[TableLine]) -> list[tuple[int, int, str, tuple[str, ...]]]:
    """Lines without what a key in digits is called."""
    return [
        (
            line.start_sectors,
            line.length_sectors,
            line.kind,
            tuple(KEY if word.startswith(KEY) else word for word in line.words),
        )
        for line in lines
    ]


def stack_uuids(vg: VolumeGroup, lv: LogicalVolume) -> tuple[str, ...]:
    """The UUIDs of the devices that a volume may have, itself first, then what is below.

    Raises RefusedError for a volume of which a part is of a type that is stock lvm2's, or that is part of such a one.
    """
    refuse_parts(vg, lv)
    found: dict[str, None] = {}
    waiting = [(lv, False)]
    while waiting:
        part, is_hidden = waiting.pop(0)
        found[lvm_uuid(vg.id, part.id, hidden_suffix(part.name) if is_hidden else "")] = None
        for segment in part.segments:
            if segment.type_name not in _STACKED:
                where = f"{printable(vg.name)}/{printable(lv.name)}"
                raise RefusedError(
                    f"{where} is of type {printable(segment.shown_type)}, which lvm2 activates and deactivates"
                )
            below = [vg.lv(name) for _, name in segment.parts()]
            waiting += [(other, True) for other in below if other.id not in {p.id for p, _ in waiting}]
        if len(found) > len(vg.lvs):  # a volume that is part of itself; the group's check says so
            break
    return tuple(found)


class Step(Record):
    """One thing to do to the device `name`."""

    name: str

    @property
    def inverse(self) -> tuple[Step, ...]:
        """The steps that undo it."""
        return ()

    @property
    def shown(self) -> str:
        """The step in words, for messages and fault points."""
        return f"{type(self).__name__.lower()} {self.name}"


class Create(Step):
    """Make a device without a table. From then on its number is known under `lv_id`."""

    uuid: str
    lv_id: str = ""
    minor: int | None = None

    @property
    def inverse(self) -> tuple[Step, ...]:
        return (Remove(name=self.name),)


class Load(Step):
    """Load a table behind the live one."""

    lines: tuple[TableLine, ...]
    is_read_only: bool = False

    @property
    def inverse(self) -> tuple[Step, ...]:
        return (Clear(name=self.name),)


class Clear(Step):
    """Forget the table behind the live one."""


class Suspend(Step):
    """Let nothing through any more; what was on its way is written, and a file system on it is whole on the disk."""

    @property
    def inverse(self) -> tuple[Step, ...]:
        return (Clear(name=self.name), Resume(name=self.name))


class Resume(Step):
    """Put the table that was loaded in force, if one was, and let everything through. `former` was in force."""

    former: tuple[TableLine, ...] = ()
    is_read_only: bool = False
    is_hidden: bool = False
    read_ahead: int | None = None

    @property
    def inverse(self) -> tuple[Step, ...]:
        if not self.former:
            return ()
        again = Load(name=self.name, lines=self.former, is_read_only=self.is_read_only)
        return (again, Resume(name=self.name, is_hidden=self.is_hidden))


class Release(Step):
    """Let everything through again if that can be: not where the key was wiped."""


class Rename(Step):
    """Give the device another name."""

    new: str

    @property
    def inverse(self) -> tuple[Step, ...]:
        return (Rename(name=self.new, new=self.name),)


class Remove(Step):
    """Take the device away, which nobody may have open. `former` is what it was."""

    former: SeenDevice | None = None
    lv_id: str = ""

    @property
    def inverse(self) -> tuple[Step, ...]:
        was = self.former
        if was is None or not was.has_live:
            return ()
        minor = int(was.number.partition(":")[2])
        return (
            Create(name=self.name, uuid=was.uuid, lv_id=self.lv_id, minor=minor),
            Load(name=self.name, lines=was.lines, is_read_only=was.is_read_only),
            Resume(name=self.name, is_hidden="-" in was.uuid.removeprefix(PREFIX)),
        )


class Node(Step):
    """See that the device has its node, and none of a former name: a command may have been killed before that."""


class Link(Step):
    """Make /dev/VG/LV, the volume's place in /dev, for the device `name`, and see to its node."""

    link: tuple[str, str]

    @property
    def inverse(self) -> tuple[Step, ...]:
        return (Unlink(name=self.name, link=self.link),)


class Unlink(Step):
    """Take /dev/VG/LV away."""

    link: tuple[str, str]

    @property
    def inverse(self) -> tuple[Step, ...]:
        return (Link(name=self.name, link=self.link),)


class Plan(Record):
    """The steps of a change: before anything else, before the metadata change, and afterwards."""

    prepare: tuple[Step, ...] = ()
    freeze: tuple[Step, ...] = ()
    finish: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them."""
        return (*self.prepare, *self.freeze, *self.finish)


def plan_stack(wanted: Sequence[WantedDevice], seen: Mapping[str, SeenDevice], places: Mapping[str, str]) -> Plan:
    """The steps from what is there (by UUID) to what is wanted; `places` has the number of each physical volume's
    device. A device that is as it should be is left alone; a suspended one is resumed."""
    numbers = dict(places)
    numbers.update((device.lv_id, seen[device.uuid].number) for device in wanted if device.uuid in seen)
    prepare: list[Step] = []
    freeze: list[Step] = []
    finish: list[Step] = []
    late: list[Step] = []
    for device in wanted:
        found = seen.get(device.uuid)
        if found is None or not found.has_live:
            prepare += _made(device, found)
            finish.append(_resumed(device))
            continue
        name = found.name
        lines = tuple(resolved(line, numbers) for line in device.lines)
        is_same = _comparable(lines) == _comparable(found.lines) and device.is_read_only == found.is_read_only
        resume = Resume(
            name=name, former=found.lines, is_read_only=found.is_read_only, is_hidden=device.is_hidden,
            read_ahead=device.read_ahead,
        )  # fmt: skip
        if is_same:
            if found.has_inactive:
                prepare.append(Clear(name=name))
            if found.is_suspended or _reads_ahead_otherwise(device, found):
                finish.append(resume.replace(former=()))
        else:
            prepare.append(Load(name=name, lines=device.lines, is_read_only=device.is_read_only))
            if device.is_hidden and device.length_sectors > found.length_sectors:
                prepare.append(resume)  # what is above cannot have a table that ends behind it
            else:
                if not found.is_suspended:
                    freeze.insert(0, Suspend(name=name))  # from the top down
                is_shorter = device.is_hidden and device.length_sectors < found.length_sectors
                (late if is_shorter else finish).append(resume)
        if name != device.name:
            if not device.is_hidden:  # nobody would know of the link any more once its device has another name
                late.append(Unlink(name=name, link=split_dm_name(name)))
            late.append(Rename(name=name, new=device.name))
    nodes: list[Step] = [
        Link(name=device.name, link=device.link) if device.link[0] else Node(name=device.name) for device in wanted
    ]
    return Plan(prepare=tuple(prepare), freeze=tuple(freeze), finish=(*finish, *late, *nodes))


def _reads_ahead_otherwise(device: WantedDevice, found: SeenDevice) -> bool:
    """Whether the kernel must be told what to read ahead, which goes with a resumption."""
    if device.read_ahead is None or found.read_ahead_sectors is None:
        return False
    return max(device.read_ahead, 0) != found.read_ahead_sectors


def _made(device: WantedDevice, found: SeenDevice | None) -> Iterator[Step]:
    """A device that is not there, or is there without a table, as a command leaves it that was killed."""
    if found is None:
        yield Create(name=device.name, uuid=device.uuid, lv_id=device.lv_id, minor=device.minor)
    elif found.name != device.name:
        yield Rename(name=found.name, new=device.name)
    yield Load(name=device.name, lines=device.lines, is_read_only=device.is_read_only)


def _resumed(device: WantedDevice) -> Resume:
    return Resume(name=device.name, is_hidden=device.is_hidden, read_ahead=device.read_ahead)


def plan_removal(seen: Sequence[SeenDevice], link: tuple[str, str]) -> Plan:
    """The steps that take a volume's devices away, those on top first; none of them may be suspended.

    A suspended one would keep what is on its way for ever: it is resumed first, with the table that is live.
    """
    steps: list[Step] = []
    for device in seen:
        if device.is_suspended:
            steps += [Clear(name=device.name)] if device.has_inactive else []
            steps += [Release(name=device.name)] if device.has_live else []
    steps += [Remove(name=device.name, former=device) for device in seen]
    if link[0] and seen:
        steps.append(Unlink(name=seen[0].name, link=link))
    return Plan(finish=tuple(steps))


def undo_of(done: Sequence[Step]) -> tuple[Step, ...]:
    """The steps that undo those that were done, the last one first."""
    return tuple(step for former in reversed(done) for step in former.inverse)
