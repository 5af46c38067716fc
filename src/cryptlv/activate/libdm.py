"""libdevmapper by ctypes: its tasks, and tables in its memory. Loaded when first needed.

What holds keys is marked as secure data, so that the library and the kernel wipe their buffers; keys are read and
written in place, without another copy in the interpreter's memory.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from functools import cache

from cryptlv.errors import DeviceMapperError
from cryptlv.model.stack import KEY, TableLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator, Mapping
    from typing import Any

    from cryptlv.secret import Secret

_SONAME = "libdevmapper.so.1.02.1"
CREATE, RELOAD, REMOVE, SUSPEND, RESUME, INFO, DEPS, RENAME = 0, 1, 2, 4, 5, 6, 7, 8
VERSION, STATUS, TABLE, LIST, CLEAR, MKNODES, MESSAGE = 9, 10, 11, 13, 14, 15, 17
_WORDS = {
    CREATE: "make", RELOAD: "load a table for", REMOVE: "take away", SUSPEND: "suspend", RESUME: "resume",
    INFO: "look at", DEPS: "look at", RENAME: "rename", VERSION: "ask", STATUS: "look at", TABLE: "look at",
    LIST: "ask", CLEAR: "clear a table of", MKNODES: "make a node for",
    MESSAGE: "send a message to",
}  # fmt: skip
"""Kinds of tasks, by the library's numbers (libdevmapper.h), and what they do."""
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
    "dm_task_set_cookie": "ipph", "dm_task_set_sector": "ipq", "dm_task_set_message": "ipp",
    "dm_task_secure_data": "ip", "dm_task_no_flush": "ip", "dm_task_skip_lockfs": "ip",
    "dm_task_add_target": "ipqqtp", "dm_task_get_info": "ipp", "dm_task_get_name": "tp", "dm_task_get_uuid": "tp",
    "dm_task_get_names": "pp", "dm_task_get_deps": "pp", "dm_task_get_driver_version": "ippn",
    "dm_task_update_nodes": "i",
    "dm_get_next_target": "pppppp", "dm_udev_wait": "iu", "dm_log_with_errno_init": "-p",
}  # fmt: skip
"""The library's functions: a letter for what each gives and for what it takes, by the table in `libdm`."""
_DIGITS = b"0123456789abcdef"


@cache
def info_type() -> Any:
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
def libdm() -> Any:
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


@contextmanager
def task_of(kind: int, *, name: str = "", uuid: str = "") -> Iterator[int]:
    """A task of the library's."""
    library = libdm()
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


def run_task(task: int, kind: int, name: str) -> None:
    """Run a task, which is about the device `name`; raises DeviceMapperError with the system's error number."""
    library = libdm()
    if library.dm_task_run(task):
        return
    number = library.dm_task_get_errno(task)
    reason = _REASONS.get(number) or (os.strerror(number) if number else "see dmesg")
    if number == errno.EBUSY:
        reason = "it is in use"
    raise DeviceMapperError(f"device-mapper cannot {_WORDS[kind]} {name}: {reason}".replace(" :", ":"), errno=number)


def text_of(raw: bytes | None) -> str:
    """The library's text."""
    return (raw or b"").decode("utf-8", "surrogateescape")


def words_of(params: bytes) -> tuple[str, ...]:
    """The words of a target's parameters."""
    return tuple(params.decode("utf-8", "surrogateescape").split())


@contextmanager
def targets_of(kind: int, name: str) -> Iterator[list[tuple[int, int, str, memoryview]]]:
    """The targets of a live table or status: (start, length, kind, parameters), the last in the library's memory,
    which is wiped when it is given back."""
    import ctypes

    library = libdm()
    with task_of(kind, name=name) as task:
        library.dm_task_secure_data(task)
        run_task(task, kind, name)
        info = info_type()()
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
                params = (ctypes.c_char * size).from_address(params_at.value or 0) if size else b""
                view = memoryview(params).cast("B") if size else memoryview(b"")
                found.append((start.value, length.value, text_of(ctypes.string_at(kind_at.value)), view))
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


def digits_place(kind: str, params: memoryview) -> tuple[int, int] | None:
    """Where the key in digits is in a target's parameters: first byte and the one behind; None for none."""
    if kind != "crypt":
        return None
    spaces = [place for place, byte in enumerate(params) if byte == 0x20][:2]
    if len(spaces) < 2 or params[spaces[0] + 1] in b":-":
        return None
    return spaces[0] + 1, spaces[1]


def line_of(name: str, start: int, length: int, kind: str, params: memoryview) -> TableLine:
    """A target of the device `name` as a line, `=NAME:START` in the place of a key in digits."""
    place = digits_place(kind, params)
    if place is None:
        words = words_of(bytes(params))
    else:
        words = (*words_of(bytes(params[: place[0]])), f"{KEY}{name}:{start}", *words_of(bytes(params[place[1] :])))
    return TableLine(start_sectors=start, length_sectors=length, kind=kind, words=words)


def undigits(digits: memoryview) -> bytearray:
    """The bytes that hexadecimal digits stand for; no other copy is made."""
    out = bytearray(len(digits) // 2)
    for place in range(len(out)):
        out[place] = _DIGITS.index(digits[2 * place]) << 4 | _DIGITS.index(digits[2 * place + 1])
    return out


@contextmanager
def joined(words: tuple[str, ...], keys: Mapping[str, Secret]) -> Iterator[ctypes.Array[ctypes.c_char]]:
    """Words as the library takes them, keys as their digits; wiped afterwards."""
    import ctypes

    parts: list[bytes | Secret] = []
    for word in words:
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
