"""Passphrases and keys from the user: a key file, standard input, or a terminal without echo.

The rules for newlines are cryptsetup's (cryptsetup(8), "Notes on passphrase processing"): a key file is taken whole,
newlines and all, and so is standard input named as `--keyfile -`, or the part of them that was asked for; standard
input that was not named gives one line of 512 bytes at most, without its newline; a terminal gives a line. Bytes are
bytes: no encoding is looked at. What is read goes into memory that is overwritten, past the interpreter's buffers.

Where several keystores are opened, each can have a key file of its own, in a directory.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from cryptlv.errors import CredentialError, NobodyToAskError
from cryptlv.host.system import forbid_dumps
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.secret import Passphrase
from cryptlv.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

MAX_LINE_BYTES = 512
MAX_KEY_FILE_BYTES = 8 * MIB
_STDIN = 0
_NEWLINE = 0x0A


class KeyFile(Record):
    """Where a passphrase or key is to be read: a path, or "-" for standard input, without its first `skip_bytes`;
    `size_bytes` of it, None for all."""

    path: str
    skip_bytes: int = 0
    size_bytes: int | None = None

    @property
    def shown(self) -> str:
        """As messages call it."""
        return "standard input" if self.path == "-" else f"key file {printable(self.path)}"


class CredentialSource:
    """See `cryptlv.ops.credentials.Credentials`. `key_file` is None to ask, with `only_people` only on a terminal."""

    def __init__(
        self,
        key_file: KeyFile | None,
        warn: Callable[[str], None],
        cache_seconds: int = 0,
        *,
        only_people: bool = False,
    ) -> None:
        self._key_file = key_file
        self._warn = warn
        self.cache_seconds = cache_seconds
        self._only_people = only_people
        self._whole: Passphrase | None = None

    @property
    def may_retry(self) -> bool:
        return self._key_file is None and os.isatty(_STDIN)

    def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Passphrase:
        forbid_dumps()
        if self._key_file is not None:
            return self._from_file(kind)
        if os.isatty(_STDIN):
            return self._from_terminal(purpose, what, kind)
        if self._only_people:
            raise NobodyToAskError(f"its {kind} is needed, and there is no terminal to ask on (see --keyfile)")
        line = _read_line(_STDIN, f"standard input holds no {kind} for {what}; give it there or with --keyfile")
        return _checked(line, f"the {kind} for {what} on standard input is empty")

    def close(self) -> None:
        """Forget what was read."""
        if self._whole is not None:
            self._whole.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _from_file(self, kind: str) -> Passphrase:
        """The whole file; it is read once, as standard input can be."""
        if self._whole is None:
            assert self._key_file is not None  # noqa: S101 - see get
            self._whole = _read_key_file(self._key_file, kind, self._warn)
        with self._whole.reveal() as view:
            return Passphrase(view)

    def _from_terminal(self, purpose: str, what: str, kind: str) -> Passphrase:
        first = _checked(_ask(f"Enter {kind} for {what}: "), f"the {kind} is empty")
        if purpose == "create":
            with _checked(_ask(f"Verify {kind}: "), f"the {kind} is empty") as second:
                if not first.matches(second):
                    first.close()
                    raise CredentialError(f"the two {kind}s are not the same; nothing changed")
        return first


class KeyDirectory:
    """See `cryptlv.ops.credentials.Credentials`. `place` is a directory with a key file for each keystore; the same
    part of each counts."""

    may_retry = False

    def __init__(self, place: KeyFile, warn: Callable[[str], None], cache_seconds: int = 0) -> None:
        self._place = place
        self._warn = warn
        self.cache_seconds = cache_seconds

    def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Passphrase:
        forbid_dumps()
        for name in names:
            path = os.path.join(self._place.path, name)
            if os.path.lexists(path):
                return _read_key_file(self._place.replace(path=path), kind, self._warn)
        where, shown = printable(self._place.path), " or ".join(map(printable, names))
        raise NobodyToAskError(f"its {kind} is needed, and the key directory {where} has no file {shown}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is kept."""


def _checked(data: bytearray, problem_when_empty: str) -> Passphrase:
    if not data:
        raise CredentialError(problem_when_empty)
    return Passphrase(data)


def _read_line(descriptor: int, problem_at_end: str) -> bytearray:
    """One line without its newline, read byte by byte so that what follows stays for who asks next."""
    line = bytearray(MAX_LINE_BYTES + 1)
    with memoryview(line) as view:
        for length in range(len(line)):
            got = os.readv(descriptor, [view[length : length + 1]])
            if not got and not length:
                raise CredentialError(problem_at_end)
            if not got or view[length] == _NEWLINE:
                break
        else:
            view[:] = bytes(len(view))
            raise CredentialError(f"the line is longer than {MAX_LINE_BYTES} bytes; use --keyfile for long ones")
    del line[length:]
    return line


def _read_key_file(key_file: KeyFile, kind: str, warn: Callable[[str], None]) -> Passphrase:
    path, name = key_file.path, key_file.shown
    if not path:
        raise CredentialError("--keyfile needs the path of a file, or - for standard input")
    descriptor = _STDIN
    try:
        if path != "-":
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
                warn(f"{name} can be used by others (mode {stat.S_IMODE(mode):04o}); protect it: chmod 600")
        if os.isatty(descriptor):
            raise CredentialError(f"{name} is a terminal; leave --keyfile out to be asked there")
        return _checked(_read_part(descriptor, key_file), f"{name} is empty: it holds no {kind}")
    except OSError as error:
        raise CredentialError(f"{name}: cannot read: {error.strerror}") from None
    finally:
        if descriptor != _STDIN:
            os.close(descriptor)


def _read_part(descriptor: int, key_file: KeyFile) -> bytearray:
    """The bytes that are meant (lib/utils.c:crypt_keyfile_device_read); raises CredentialError when too many, or when
    those that were asked for are not all there."""
    name, size = key_file.shown, key_file.size_bytes
    _skip(descriptor, key_file)
    if size is not None and not 0 < size <= MAX_KEY_FILE_BYTES:
        raise CredentialError(f"--keyfile-size {size} is out of range (1 byte to {MAX_KEY_FILE_BYTES // MIB} MiB)")
    data = bytearray(MAX_KEY_FILE_BYTES + 1 if size is None else size)
    length = 0
    with memoryview(data) as view:
        while length < len(data) and (got := os.readv(descriptor, [view[length:]])):
            length += got
        if length > MAX_KEY_FILE_BYTES or (size is not None and length < size):
            view[:length] = bytes(length)
            if size is not None:
                raise CredentialError(f"{name} has only {length} bytes of the {size} that --keyfile-size asks for")
            raise CredentialError(f"{name} is larger than {MAX_KEY_FILE_BYTES // MIB} MiB, too large for a key")
    del data[length:]
    return data


def _skip(descriptor: int, key_file: KeyFile) -> None:
    """Go past the first bytes, also of what cannot be sought in."""
    left = key_file.skip_bytes
    with suppress(OSError):
        if left and stat.S_ISREG(os.fstat(descriptor).st_mode) and os.fstat(descriptor).st_size >= left:
            os.lseek(descriptor, left, os.SEEK_CUR)
            return
    waste = bytearray(min(left, MIB))
    while left:
        got = os.readv(descriptor, [memoryview(waste)[: min(left, MIB)]])
        waste[:] = bytes(len(waste))
        if not got:
            raise CredentialError(f"{key_file.shown} ends before --keyfile-offset {key_file.skip_bytes}")
        left -= got


def _ask(prompt: str) -> bytearray:
    """A line from the terminal, which shows nothing of it; its settings are put back whatever happens."""
    import termios

    sys.stdout.flush()
    before = termios.tcgetattr(_STDIN)
    silent = list(before)
    silent[3] &= ~(termios.ECHO | termios.ECHOE | termios.ECHOK | termios.ECHONL)
    try:
        termios.tcsetattr(_STDIN, termios.TCSAFLUSH, silent)
        sys.stderr.write(prompt)
        sys.stderr.flush()
        return _read_line(_STDIN, "no input from the terminal")
    finally:
        termios.tcsetattr(_STDIN, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")
        sys.stderr.flush()
