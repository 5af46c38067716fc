"""Passphrases and keys from the user: a key file, standard input, or a terminal without echo.

The rules for newlines are cryptsetup's (cryptsetup(8), "Notes on passphrase processing"): a key file is taken whole,
newlines and all, and so is standard input named as `--keyfile -`; standard input that was not named gives one line of
512 bytes at most, without its newline; a terminal gives a line. Bytes are bytes: no encoding is looked at.
"""

from __future__ import annotations

import os
import stat
import sys

from cryptlv.errors import CredentialError
from cryptlv.host.system import forbid_dumps
from cryptlv.names import printable
from cryptlv.secret import Passphrase
from cryptlv.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

MAX_LINE_BYTES = 512
MAX_KEY_FILE_BYTES = 8 * MIB
_STDIN = 0


class CredentialSource:
    """See `cryptlv.ops.credentials.Credentials`. `key_file` is a path, "-" for standard input, None to ask."""

    def __init__(self, key_file: str | None, warn: Callable[[str], None]) -> None:
        self._key_file = key_file
        self._warn = warn
        self._whole: Passphrase | None = None

    @property
    def may_retry(self) -> bool:
        return self._key_file is None and os.isatty(_STDIN)

    def get(self, purpose: str, what: str, kind: str) -> Passphrase:
        forbid_dumps()
        if self._key_file is not None:
            return self._from_file(kind)
        if os.isatty(_STDIN):
            return self._from_terminal(purpose, what, kind)
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


def _checked(data: bytearray, problem_when_empty: str) -> Passphrase:
    if not data:
        raise CredentialError(problem_when_empty)
    return Passphrase(data)


def _read_line(descriptor: int, problem_at_end: str) -> bytearray:
    """One line without its newline, read byte by byte so that what follows stays for who asks next."""
    line = bytearray()
    while len(line) <= MAX_LINE_BYTES:
        byte = os.read(descriptor, 1)
        if not byte and not line:
            raise CredentialError(problem_at_end)
        if not byte or byte == b"\n":
            return line
        line += byte
    line[:] = bytes(len(line))
    raise CredentialError(f"the line is longer than {MAX_LINE_BYTES} bytes; use --keyfile for long ones")


def _read_key_file(path: str, kind: str, warn: Callable[[str], None]) -> Passphrase:
    name = "standard input" if path == "-" else f"key file {printable(path)}"
    if not path:
        raise CredentialError("--keyfile needs the path of a file, or - for standard input")
    descriptor = _STDIN
    try:
        if path != "-":
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
                warn(f"{name} can be used by others (mode {stat.S_IMODE(mode):04o}); protect it: chmod 600")
        return _checked(_read_whole(descriptor, name), f"{name} is empty: it holds no {kind}")
    except OSError as error:
        raise CredentialError(f"{name}: cannot read: {error.strerror}") from None
    finally:
        if descriptor != _STDIN:
            os.close(descriptor)


def _read_whole(descriptor: int, name: str) -> bytearray:
    data = bytearray()
    while more := os.read(descriptor, 65536):
        data += more
        if len(data) > MAX_KEY_FILE_BYTES:
            data[:] = bytes(len(data))
            raise CredentialError(f"{name} is larger than {MAX_KEY_FILE_BYTES // MIB} MiB, too large for a key")
    return data


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
