"""A device-mapper in memory that stands in for the kernel's: the same methods, tables and refusals, and no data.

With it all that plans and runs changes of stacks is tested on machines without device-mapper. It is held to the same
conformance suite as the real one.
"""

from __future__ import annotations

import errno

from cryptlv.errors import DeviceMapperError, KeyringError
from cryptlv.model.stack import KEY, PREFIX, SeenDevice, TableLine, described_key
from cryptlv.secret import VolumeKey
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.secret import Secret

_MAJOR = 254
KINDS = ("linear", "striped", "crypt", "error", "zero")


class _Device:
    """One device; `live` and `inactive` are tables with their keys in digits, or None."""

    def __init__(self, uuid: str, minor: int) -> None:
        self.uuid = uuid
        self.minor = minor
        self.live: tuple[TableLine, ...] | None = None
        self.inactive: tuple[TableLine, ...] | None = None
        self.is_suspended = False
        self.is_read_only = False
        self.next_read_only = False
        self.opens = 0
        self.is_wiped = False
        self.read_ahead_sectors = 256


class FakeDeviceMapper:
    """See `cryptlv.activate.dm.DeviceMapper`. Any path is a block device here.

    `refuses` has, by the words of what is asked ("load", "resume", ...), the error number that it fails with.
    """

    def __init__(self) -> None:
        self.devices: dict[str, _Device] = {}
        self.keys: dict[str, bytes] = {}
        self.links: dict[tuple[str, str], str] = {}
        self.refuses: dict[str, int] = {}
        self._numbers: dict[str, str] = {}

    def is_usable(self) -> bool:
        """Always."""
        return True

    def check_usable(self) -> None:
        """Nothing is wrong with it."""

    def number_of(self, path: str) -> str:
        """A number for each path."""
        return self._numbers.setdefault(path, f"253:{len(self._numbers)}")

    def path_of(self, name: str) -> str:
        """Where the node would be."""
        return f"/dev/mapper/{name}"

    def read_ahead_bytes(self, number: str) -> int:
        """What was last set, at first the kernel's default."""
        minor = int(number.partition(":")[2])
        found = [device for device in self.devices.values() if device.minor == minor]
        return found[0].read_ahead_sectors * SECTOR_SIZE if found else 0

    def lvm_uuids(self) -> tuple[str, ...]:
        """The UUIDs of all devices that are parts of volumes."""
        return tuple(device.uuid for device in self.devices.values() if device.uuid.startswith(PREFIX))

    def version(self) -> str:
        """A version of device-mapper."""
        return "4.47.0"

    def names(self) -> tuple[str, ...]:
        """The names of all devices."""
        return tuple(self.devices)

    def find(self, *, uuid: str = "", name: str = "") -> SeenDevice | None:
        """The device of a UUID, or a name, without its table; None when there is none."""
        for found, device in self.devices.items():
            if found == name or (uuid and device.uuid == uuid):
                return SeenDevice(
                    name=found,
                    uuid=device.uuid,
                    number=f"{_MAJOR}:{device.minor}",
                    is_suspended=device.is_suspended,
                    has_live=device.live is not None,
                    has_inactive=device.inactive is not None,
                    is_read_only=device.is_read_only,
                    open_count=device.opens + len(self._above(found)),
                )
        return None

    def table(self, name: str) -> tuple[TableLine, ...]:
        """The live table, `=NAME:START` for each key in digits."""
        lines = self._device("look at", name).live or ()
        return tuple(
            line.replace(words=(line.words[0], f"{KEY}{name}:{line.start_sectors}", *line.words[2:]))
            if line.key_word and line.key_word[0] not in ":-"
            else line
            for line in lines
        )

    def status(self, name: str) -> tuple[TableLine, ...]:
        """The targets, which have nothing to say."""
        return tuple(line.replace(words=()) for line in self._device("look at", name).live or ())

    def keys_of(self, name: str) -> dict[str, VolumeKey]:
        """The keys in digits of the live table, by their words in `table`; the caller closes them."""
        return {
            f"{KEY}{name}:{line.start_sectors}": VolumeKey(bytes.fromhex(line.key_word))
            for line in self._device("look at", name).live or ()
            if line.key_word and line.key_word[0] not in ":-"
        }

    def deps(self, name: str) -> tuple[str, ...]:
        """MAJOR:MINOR of the devices that a device lies on."""
        lines = self._device("look at", name).live or ()
        return tuple(dict.fromkeys(word for line in lines for word in line.words if _is_number(word)))

    def create(self, name: str, uuid: str, minor: int | None = None) -> None:
        """Make a device without a table."""
        self._refuse("make", name)
        taken = {device.minor for device in self.devices.values()}
        if name in self.devices or self.find(uuid=uuid) is not None or minor in taken:
            raise DeviceMapperError(
                f"device-mapper has a device of the name {name} or its UUID that is not this volume's",
                errno=errno.EBUSY,
            )
        chosen = minor if minor is not None else next(n for n in range(len(taken) + 1) if n not in taken)
        self.devices[name] = _Device(uuid, chosen)

    def load(
        self, name: str, lines: tuple[TableLine, ...], *, is_read_only: bool, keys: Mapping[str, Secret]
    ) -> None:
        """Load a table behind the live one."""
        self._refuse("load", name)
        device = self._device("load a table for", name)
        expected = 0
        for line in lines:
            if line.kind not in KINDS or line.start_sectors != expected or line.length_sectors <= 0:
                raise DeviceMapperError(f"device-mapper cannot load a table for {name}: {line}", errno=errno.EINVAL)
            expected += line.length_sectors
            self._check_places(name, line)
            description = described_key(line.key_word)
            if description and description not in self.keys:
                raise DeviceMapperError(
                    f"device-mapper cannot load a table for {name}: its key is not in the kernel's keyring",
                    errno=errno.ENOKEY,
                )
        if not lines:
            raise DeviceMapperError(f"device-mapper cannot load a table for {name}: it is empty", errno=errno.EINVAL)
        device.inactive = tuple(_with_digits(line, keys) for line in lines)
        device.next_read_only = is_read_only

    def _check_places(self, name: str, line: TableLine) -> None:
        known = {*self._numbers.values(), *(f"{_MAJOR}:{device.minor}" for device in self.devices.values())}
        for word in line.words:
            if word.startswith("@") or (_is_number(word) and word not in known):
                raise DeviceMapperError(
                    f"device-mapper cannot load a table for {name}: one of its physical volumes is gone",
                    errno=errno.ENODEV,
                )

    def clear(self, name: str) -> None:
        """Forget the table behind the live one."""
        self._device("clear a table of", name).inactive = None

    def suspend(self, name: str, *, flushes: bool = True, freezes: bool = True) -> None:
        """Let nothing through."""
        self._refuse("suspend", name)
        self._device("suspend", name).is_suspended = True

    def resume(self, name: str, *, is_hidden: bool = False, read_ahead: int | None = None) -> None:
        """Put the loaded table in force, if there is one, and let everything through."""
        self._refuse("resume", name)
        device = self._device("resume", name)
        if device.inactive is not None:
            device.live, device.inactive = device.inactive, None
            device.is_read_only = device.next_read_only
            device.is_wiped = False
        if device.is_wiped:
            raise DeviceMapperError(f"{name} is frozen and its key is not in the kernel", errno=errno.EAGAIN)
        device.is_suspended = False
        if read_ahead is not None:
            device.read_ahead_sectors = max(read_ahead, 0)

    def rename(self, name: str, new: str) -> None:
        """Give a device another name."""
        self._refuse("rename", name)
        self._device("rename", name)
        if new in self.devices:
            raise DeviceMapperError(
                f"{name} cannot be renamed: device-mapper has another device {new}", errno=errno.EBUSY
            )
        self.devices[new] = self.devices.pop(name)

    def remove(self, name: str) -> None:
        """Take a device away."""
        self._refuse("take away", name)
        device = self._device("take away", name)
        if device.opens or self._above(name):
            raise DeviceMapperError(f"device-mapper cannot take away {name}: it is in use", errno=errno.EBUSY)
        del self.devices[name]

    def message(
        self, name: str, sector: int, words: tuple[str, ...], keys: Mapping[str, Secret] | None = None
    ) -> None:
        """dm-crypt's `key wipe` and `key set`."""
        self._refuse("message", name)
        device = self._device("send a message to", name)
        lines = device.live or ()
        at = next((i for i, line in enumerate(lines) if line.start_sectors <= sector < _end(line)), None)
        is_key = words[:2] in (("key", "wipe"), ("key", "set"))
        if at is None or lines[at].kind != "crypt" or not is_key or not device.is_suspended:
            raise DeviceMapperError(
                f"device-mapper cannot send a message to {name}: Invalid argument", errno=errno.EINVAL
            )
        line = lines[at]
        if words[1] == "set" and described_key(words[2]) not in {"", *self.keys}:
            raise DeviceMapperError(
                f"device-mapper cannot send a message to {name}: its key is not in the kernel's keyring",
                errno=errno.ENOKEY,
            )
        word = words[2] if words[1] == "set" else "00" * 64
        changed = _with_digits(line.replace(words=(line.words[0], word, *line.words[2:])), keys or {})
        device.live = (*lines[:at], changed, *lines[at + 1 :])
        device.is_wiped = any(part.key_word == "00" * 64 for part in device.live)

    def settle(self) -> None:
        """There is nobody to wait for."""

    def see_to_node(self, name: str) -> None:
        """There are no nodes."""
        self._device("make a node for", name)

    def link(self, vg_name: str, lv_name: str, name: str) -> None:
        """Make /dev/VG/LV for a device."""
        self._refuse("link", name)
        self.links[vg_name, lv_name] = name

    def unlink(self, vg_name: str, lv_name: str) -> None:
        """Take /dev/VG/LV away."""
        self.links.pop((vg_name, lv_name), None)

    def put_key(self, description: str, key: Secret) -> None:
        """Keep a key."""
        if "key" in self.refuses:
            raise KeyringError("a key cannot be kept in the kernel's keyring", errno=self.refuses["key"])
        with key.reveal() as view:
            self.keys[description] = bytes(view)

    def has_key(self, description: str) -> bool:
        """Whether a key is there."""
        return description in self.keys

    def drop_key(self, description: str) -> None:
        """Forget a key."""
        self.keys.pop(description, None)

    def _device(self, what: str, name: str) -> _Device:
        if name not in self.devices:
            raise DeviceMapperError(f"device-mapper cannot {what} {name}: no such device", errno=errno.ENXIO)
        return self.devices[name]

    def _refuse(self, what: str, name: str) -> None:
        if what in self.refuses:
            raise DeviceMapperError(f"device-mapper cannot {what} {name}: refused", errno=self.refuses[what])

    def _above(self, name: str) -> list[str]:
        """The devices that lie on a device."""
        number = f"{_MAJOR}:{self.devices[name].minor}"
        return [
            other
            for other, device in self.devices.items()
            if any(number in line.words for table in (device.live, device.inactive) for line in table or ())
        ]


def _is_number(word: str) -> bool:
    major, colon, minor = word.partition(":")
    return bool(colon) and major.isdigit() and minor.isdigit()


def _end(line: TableLine) -> int:
    return line.start_sectors + line.length_sectors


def _with_digits(line: TableLine, keys: Mapping[str, Secret]) -> TableLine:
    """The line with its key itself, which only a stand-in may keep like that."""
    if not line.key_word.startswith(KEY):
        return line
    with keys[line.key_word].reveal() as view:
        return line.replace(words=(line.words[0], bytes(view).hex(), *line.words[2:]))
