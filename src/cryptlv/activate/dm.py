"""The kernel's device-mapper through libdevmapper, and the keys that its tables refer to in the kernel's keyring.

The library is loaded when first needed. Every task that makes or takes away a node has a udev cookie, and `settle`
waits for udevd, or where none runs has the library make the nodes; without that a node may be missing right after its
device was made. What holds keys is marked as secure data, so that the library and the kernel wipe their buffers.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from functools import cache

from cryptlv.errors import DeviceMapperError
from cryptlv.host.devices import device_number
from cryptlv.host.kernel import uuids_in_kernel
from cryptlv.host.links import make_link, remove_link
from cryptlv.model.stack import KEY, PREFIX, SeenDevice, TableLine
from cryptlv.secret import VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator, Mapping
    from typing import Any

    from cryptlv.secret import Secret

CONTROL = "/dev/mapper/control"
_SONAME = "libdevmapper.so.1.02.1"
_CREATE, _RELOAD, _REMOVE, _SUSPEND, _RESUME, _INFO, _DEPS, _RENAME = 0, 1, 2, 4, 5, 6, 7, 8
_VERSION, _STATUS, _TABLE, _LIST, _CLEAR, _MESSAGE = 9, 10, 11, 13, 14, 17
_WORDS = {
    _CREATE: "make", _RELOAD: "load a table for", _REMOVE: "take away", _SUSPEND: "suspend", _RESUME: "resume",
    _INFO: "look at", _DEPS: "look at", _RENAME: "rename", _VERSION: "ask", _STATUS: "look at", _TABLE: "look at",
    _LIST: "ask", _CLEAR: "clear a table of", _MESSAGE: "send a message to",
}  # fmt: skip
"""Kinds of tasks, by the library's numbers (libdevmapper.h), and what they do."""
_HIDDEN_RULES = 0x0002 | 0x0004 | 0x0008
"""Flags for udev: no rules of subsystems, disks or others for the hidden parts of volumes, as lvm2 sets them."""
_NOBODY_RESUMES = errno.EAGAIN
_LOCK_CURRENT = 1
_LAST_CLOSE_SECONDS = 2.0
_REASONS = {
    errno.ENXIO: "no such device",
    errno.EPERM: "not permitted",
    errno.EACCES: "not permitted",
    errno.ENOMEM: "the kernel has no memory for it",
    errno.ENOKEY: "its key is not in the kernel's keyring",
    errno.EKEYREVOKED: "its key in the kernel's keyring was revoked",
    errno.EKEYEXPIRED: "its key in the kernel's keyring has expired",
    errno.EDQUOT: "this user's share of the kernel's keyring is full",
}
_FUNCTIONS = {
    "dm_task_create": "pi", "dm_task_destroy": "-p", "dm_task_run": "ip", "dm_task_get_errno": "ip",
    "dm_task_set_name": "ipt", "dm_task_set_uuid": "ipt", "dm_task_set_newname": "ipt", "dm_task_set_major": "ipi",
    "dm_task_set_minor": "ipi", "dm_task_set_ro": "ip", "dm_task_set_read_ahead": "ipuu",
    "dm_task_set_cookie": "ipph", "dm_task_set_sector": "ipq", "dm_task_set_message": "ipt",
    "dm_task_secure_data": "ip", "dm_task_no_flush": "ip", "dm_task_skip_lockfs": "ip",
    "dm_task_add_target": "ipqqtp", "dm_task_get_info": "ipp", "dm_task_get_name": "tp", "dm_task_get_uuid": "tp",
    "dm_task_get_names": "pp", "dm_task_get_deps": "pp", "dm_task_get_driver_version": "ippn",
    "dm_get_next_target": "pppppp", "dm_udev_wait": "iu", "dm_log_with_errno_init": "-p",
}  # fmt: skip
"""The library's functions: a letter for what each gives and for what it takes, by `_library`'s table."""
_DIGITS = b"0123456789abcdef"


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
        _library()

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
        with _task(_VERSION) as task:
            _run(task, _VERSION, "")
            _library().dm_task_get_driver_version(task, buffer, len(buffer))
        return _text(buffer.value)

    def names(self) -> tuple[str, ...]:
        """The names of all devices."""
        ctypes = _ctypes()
        found: list[str] = []
        with _task(_LIST) as task:
            _run(task, _LIST, "")
            address = _library().dm_task_get_names(task)
            while address:
                device = ctypes.c_uint64.from_address(address).value
                step = ctypes.c_uint32.from_address(address + 8).value
                if device:
                    found.append(ctypes.string_at(address + 12).decode("utf-8", "surrogateescape"))
                address = address + step if step else 0
        return tuple(found)

    def find(self, *, uuid: str = "", name: str = "") -> SeenDevice | None:
        """The device of a UUID, or a name, without its table; None when there is none."""
        library = _library()
        info = _info_type()()
        with _task(_INFO, name=name, uuid=uuid) as task:
            _run(task, _INFO, name or uuid)
            library.dm_task_get_info(task, _ctypes().byref(info))
            if not info.exists:
                return None
            return SeenDevice(
                name=_text(library.dm_task_get_name(task)),
                uuid=_text(library.dm_task_get_uuid(task)),
                number=f"{info.major}:{info.minor}",
                is_suspended=bool(info.suspended),
                has_live=bool(info.live_table),
                has_inactive=bool(info.inactive_table),
                is_read_only=bool(info.read_only),
                open_count=info.open_count,
            )

    def table(self, name: str) -> tuple[TableLine, ...]:
        """The live table. Where it holds a key in digits, that is left out: `=NAME:START` stands for it."""
        with _targets(_TABLE, name) as targets:
            return tuple(_line(name, *target) for target in targets)

    def status(self, name: str) -> tuple[TableLine, ...]:
        """What the targets of a device say of their state."""
        with _targets(_STATUS, name) as targets:
            return tuple(
                TableLine(start_sectors=start, length_sectors=length, kind=kind, words=_words(bytes(params)))
                for start, length, kind, params in targets
            )

    def keys_of(self, name: str) -> dict[str, VolumeKey]:
        """The keys in digits of the live table, by their words in `table`; the caller closes them."""
        with _targets(_TABLE, name) as targets:
            found: dict[str, VolumeKey] = {}
            for start, _, kind, params in targets:
                place = _digits_place(kind, params)
                if place is not None:
                    found[f"{KEY}{name}:{start}"] = VolumeKey(_undigits(params[place[0] : place[1]]))
            return found

    def deps(self, name: str) -> tuple[str, ...]:
        """MAJOR:MINOR of the devices that a device lies on."""
        ctypes = _ctypes()
        with _task(_DEPS, name=name) as task:
            _run(task, _DEPS, name)
            address = _library().dm_task_get_deps(task)
            count = ctypes.c_uint32.from_address(address).value if address else 0
            numbers = [ctypes.c_uint64.from_address(address + 8 + 8 * i).value for i in range(count)]
        return tuple(f"{os.major(number)}:{os.minor(number)}" for number in numbers)

    def create(self, name: str, uuid: str, minor: int | None = None) -> None:
        """Make a device without a table; it has a node when it is resumed. With `minor` it has that number."""
        library = _library()
        with _task(_CREATE, name=name, uuid=uuid) as task:
            if minor is not None:
                library.dm_task_set_major(task, device_mapper_major())
                library.dm_task_set_minor(task, minor)
            try:
                _run(task, _CREATE, name)
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
        library = _library()
        with _task(_RELOAD, name=name) as task:
            library.dm_task_secure_data(task)
            if is_read_only:
                library.dm_task_set_ro(task)
            for line in lines:
                with _params(line, keys) as params:
                    if not library.dm_task_add_target(
                        task, line.start_sectors, line.length_sectors, line.kind.encode(), params
                    ):
                        raise DeviceMapperError(f"the table of {name} cannot be made: out of memory")
            try:
                _run(task, _RELOAD, name)
            except DeviceMapperError as error:
                raise _explained(error, name, lines) from None

    def clear(self, name: str) -> None:
        """Forget the table behind the live one."""
        with _task(_CLEAR, name=name) as task:
            _run(task, _CLEAR, name)

    def suspend(self, name: str, *, flushes: bool = True, freezes: bool = True) -> None:
        """Let nothing through; `flushes` what is on its way, `freezes` a file system on it. This process has all its
        memory at hand from then on: it may be on the volume itself."""
        library = _library()
        _stay_in_memory()
        with _task(_SUSPEND, name=name) as task:
            if not flushes:
                library.dm_task_no_flush(task)
            if not freezes:
                library.dm_task_skip_lockfs(task)
            _run(task, _SUSPEND, name)

    def resume(self, name: str, *, is_hidden: bool = False, read_ahead: int | None = None) -> None:
        """Put the loaded table in force, if there is one, and let everything through."""
        library = _library()
        with _task(_RESUME, name=name) as task:
            if read_ahead is not None:
                library.dm_task_set_read_ahead(task, max(read_ahead, 0), 0)
            self._set_cookie(task, _HIDDEN_RULES if is_hidden else 0)
            try:
                _run(task, _RESUME, name)
            except DeviceMapperError as error:
                if error.errno == _NOBODY_RESUMES:
                    raise DeviceMapperError(
                        f"{name} is frozen and its key is not in the kernel; see: lvchange --resumekey",
                        errno=error.errno,
                    ) from None
                raise

    def rename(self, name: str, new: str) -> None:
        """Give a device another name."""
        with _task(_RENAME, name=name) as task:
            _library().dm_task_set_newname(task, new.encode())
            self._set_cookie(task, 0)
            try:
                _run(task, _RENAME, name)
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
            with _task(_REMOVE, name=name) as task:
                self._set_cookie(task, 0)
                try:
                    _run(task, _REMOVE, name)
                except DeviceMapperError as error:
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        raise
                else:
                    return
            self.settle()
            time.sleep(0.1)

    def message(self, name: str, sector: int, text: str) -> None:
        """Send a message to the target that has the sector."""
        library = _library()
        with _task(_MESSAGE, name=name) as task:
            library.dm_task_secure_data(task)
            library.dm_task_set_sector(task, sector)
            library.dm_task_set_message(task, text.encode())
            _run(task, _MESSAGE, name)

    def settle(self) -> None:
        """Wait until the nodes of all that was done are there, or gone."""
        cookie, self._cookie = self._cookie, None
        if cookie is not None:
            _library().dm_udev_wait(cookie.value)

    def link(self, vg_name: str, lv_name: str, name: str) -> None:
        """Make /dev/VG/LV for a device, unless udevd has."""
        make_link(self._dev_dir, vg_name, lv_name, self.path_of(name))

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
        if not _library().dm_task_set_cookie(task, _ctypes().byref(self._cookie), flags):
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
def _info_type() -> Any:
    """The library's struct dm_info."""
    import ctypes

    class Info(ctypes.Structure):
        _fields_ = [
            ("exists", ctypes.c_int),
            ("suspended", ctypes.c_int),
            ("live_table", ctypes.c_int),
            ("inactive_table", ctypes.c_int),
            ("open_count", ctypes.c_int32),
            ("event_nr", ctypes.c_uint32),
            ("major", ctypes.c_uint32),
            ("minor", ctypes.c_uint32),
            ("read_only", ctypes.c_int),
            ("target_count", ctypes.c_int32),
            ("deferred_remove", ctypes.c_int),
            ("internal_suspend", ctypes.c_int),
        ]

    return Info


@cache
def _library() -> Any:
    """libdevmapper, silent: what fails is told by its error number."""
    import ctypes

    try:
        library = ctypes.CDLL(_SONAME, use_errno=True)
    except OSError as error:
        raise DeviceMapperError(
            f"volumes cannot be activated in the kernel: {error}; install libdevmapper1.02.1, or use --backend fuse"
        ) from None
    kinds = {
        "i": ctypes.c_int, "t": ctypes.c_char_p, "p": ctypes.c_void_p, "h": ctypes.c_uint16, "u": ctypes.c_uint32,
        "q": ctypes.c_uint64, "n": ctypes.c_size_t, "-": None,
    }  # fmt: skip
    for name, letters in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = kinds[letters[0]]
        function.argtypes = [kinds[letter] for letter in letters[1:]]
    # A function in C that looks at no argument: the library still logs when the interpreter is gone, at the exit of a
    # process that leaves a device suspended, and a Python function would be called no more then but crash.
    library.dm_log_with_errno_init(ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p))
    return library


@cache
def _stay_in_memory() -> None:
    """Have everything of this process in memory, and all modules that it will need: what would be read from a
    suspended volume is never there. A failure is no error: most volumes are not those of the system."""
    import ctypes
    import time  # noqa: F401 - for `remove`

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).mlockall(_LOCK_CURRENT)


@contextmanager
def _task(kind: int, *, name: str = "", uuid: str = "") -> Iterator[int]:
    """A task of the library's."""
    library = _library()
    task = library.dm_task_create(kind)
    if not task:
        raise DeviceMapperError("device-mapper cannot be used here: see dmsetup version")
    try:
        for word, put in ((name, library.dm_task_set_name), (uuid, library.dm_task_set_uuid)):
            if word and not put(task, word.encode("utf-8", "surrogateescape")):
                raise DeviceMapperError(f"{word!r} cannot be the name of a device-mapper device")
        yield task
    finally:
        library.dm_task_destroy(task)


def _run(task: int, kind: int, name: str) -> None:
    library = _library()
    if library.dm_task_run(task):
        return
    number = library.dm_task_get_errno(task)
    reason = _REASONS.get(number) or (os.strerror(number) if number else "see dmesg")
    if number == errno.EBUSY:
        reason = "it is in use"
    raise DeviceMapperError(f"device-mapper cannot {_WORDS[kind]} {name}: {reason}".replace(" :", ":"), errno=number)


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


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "surrogateescape")


def _words(params: bytes) -> tuple[str, ...]:
    return tuple(params.decode("utf-8", "surrogateescape").split())


@contextmanager
def _targets(kind: int, name: str) -> Iterator[list[tuple[int, int, str, memoryview]]]:
    """The targets of a live table or status: (start, length, kind, parameters), the last in the library's memory,
    which is wiped when it is given back."""
    ctypes = _ctypes()
    library = _library()
    with _task(kind, name=name) as task:
        library.dm_task_secure_data(task)
        _run(task, kind, name)
        info = _info_type()()
        library.dm_task_get_info(task, ctypes.byref(info))
        if not info.exists:
            raise DeviceMapperError(f"device-mapper cannot look at {name}: no such device", errno=errno.ENXIO)
        found: list[tuple[int, int, str, memoryview]] = []
        start, length = ctypes.c_uint64(), ctypes.c_uint64()
        kind_at, params_at = ctypes.c_void_p(), ctypes.c_void_p()
        following = None
        while True:
            outputs = (ctypes.byref(start), ctypes.byref(length), ctypes.byref(kind_at), ctypes.byref(params_at))
            following = library.dm_get_next_target(task, following, *outputs)
            if kind_at.value:
                size = len_at(params_at.value)
                params = (ctypes.c_char * size).from_address(params_at.value) if size else b""
                view = memoryview(params).cast("B") if size else memoryview(b"")
                found.append((start.value, length.value, _text(ctypes.string_at(kind_at.value)), view))
            if not following:
                break
        try:
            yield found
        finally:
            for *_, view in found:
                view.release()


def len_at(address: int | None) -> int:
    """How many bytes of text there are at an address, which are not copied; 0 for none."""
    import ctypes

    if not address:
        return 0
    strlen = ctypes.CDLL(None).strlen
    strlen.restype, strlen.argtypes = ctypes.c_size_t, (ctypes.c_void_p,)
    length: int = strlen(address)
    return length


def _digits_place(kind: str, params: memoryview) -> tuple[int, int] | None:
    """Where the key in digits is in a target's parameters: first byte and the one behind; None for none."""
    if kind != "crypt":
        return None
    spaces = [place for place, byte in enumerate(params) if byte == 0x20][:2]
    if len(spaces) < 2 or params[spaces[0] + 1] in b":-":
        return None
    return spaces[0] + 1, spaces[1]


def _line(name: str, start: int, length: int, kind: str, params: memoryview) -> TableLine:
    place = _digits_place(kind, params)
    if place is None:
        words = _words(bytes(params))
    else:
        words = (*_words(bytes(params[: place[0]])), f"{KEY}{name}:{start}", *_words(bytes(params[place[1] :])))
    return TableLine(start_sectors=start, length_sectors=length, kind=kind, words=words)


def _undigits(digits: memoryview) -> bytearray:
    """The bytes that hexadecimal digits stand for; no other copy is made."""
    out = bytearray(len(digits) // 2)
    for place in range(len(out)):
        out[place] = _DIGITS.index(digits[2 * place]) << 4 | _DIGITS.index(digits[2 * place + 1])
    return out


@contextmanager
def _params(line: TableLine, keys: Mapping[str, Secret]) -> Iterator[ctypes.Array[ctypes.c_char]]:
    """A line's parameters as the library takes them, wiped afterwards."""
    import ctypes

    parts: list[bytes | Secret] = []
    for word in line.words:
        parts += [b" ", keys[word] if word.startswith(KEY) else word.encode("utf-8", "surrogateescape")]
    del parts[:1]
    size = sum(len(part) if isinstance(part, bytes) else 2 * len(part) for part in parts)
    buffer = ctypes.create_string_buffer(size + 1)
    try:
        with memoryview(buffer).cast("B") as target:
            place = 0
            for part in parts:
                if isinstance(part, bytes):
                    target[place : place + len(part)] = part
                    place += len(part)
                    continue
                with part.reveal() as view:
                    for byte in view:
                        target[place] = _DIGITS[byte >> 4]
                        target[place + 1] = _DIGITS[byte & 15]
                        place += 2
        yield buffer
    finally:
        ctypes.memset(buffer, 0, size)
