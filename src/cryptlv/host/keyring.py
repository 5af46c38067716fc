"""Keys in the kernel's keyring of this user: kept across commands, or held for dm-crypt (keyrings(7), keyctl(2)).

A key of type `user` can be read back by the processes of the same user; one of type `logon` can be read by the kernel
alone. Both lie in the user's keyring, which lives as long as the user has processes or the key has time left, and is
linked into the session's keyring: what is not reached from there is neither readable nor found by dm-crypt.

The library is libkeyutils, loaded when first needed. Where it or the kernel's part is missing, as in containers that
forbid the system calls, every function raises KeyringError.
"""

from __future__ import annotations

from functools import cache

from cryptlv.errors import KeyringError
from cryptlv.secret import VolumeKey, readable_by_c

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes

    from cryptlv.secret import Secret

USER, LOGON = "user", "logon"
"""Types of keys."""
_SONAME = "libkeyutils.so.1"
_SESSION_KEYRING, _USER_KEYRING = -3, -4
_LARGEST_BYTES = 32767
"""What the kernel allows a key of these types (security/keys/user_defined.c)."""


def put_key(kind: str, description: str, key: Secret, timeout_seconds: int = 0) -> int:
    """Keep a key under a description, in place of one that is there, for so many seconds (0: without an end); gives
    the kernel's number of it. Raises KeyringError.
    """
    library = _keyutils()
    with key.reveal() as view, readable_by_c(view) as copy:
        number: int = library.add_key(kind.encode(), description.encode(), copy, len(view), _USER_KEYRING)
    if number < 0:
        raise _error("a key cannot be kept in the kernel's keyring")
    if timeout_seconds and library.keyctl_set_timeout(number, timeout_seconds) < 0:
        error = _error("a key in the kernel's keyring cannot be given an end")
        library.keyctl_unlink(number, _USER_KEYRING)
        raise error
    return number


def find_key(kind: str, description: str) -> int | None:
    """The kernel's number of a key, None when there is none (any more); raises KeyringError where keyrings are not
    to be had at all."""
    import ctypes
    import errno

    number: int = _keyutils().keyctl_search(_USER_KEYRING, kind.encode(), description.encode(), 0)
    if number >= 0:
        return number
    if ctypes.get_errno() in (errno.ENOKEY, errno.EKEYEXPIRED, errno.EKEYREVOKED, errno.EACCES):
        return None
    raise _error("the kernel's keyring cannot be searched")


def read_key(description: str) -> VolumeKey | None:
    """A key of type `user`, None when there is none; raises KeyringError where keyrings are not to be had."""
    import ctypes

    number = find_key(USER, description)
    if number is None:
        return None
    buffer = bytearray(_LARGEST_BYTES)
    anchor = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    length = _keyutils().keyctl_read(number, anchor, len(buffer))
    del anchor
    if length < 0:
        return None  # it ended just now, or belongs to another session
    found = buffer[:length]
    buffer[:length] = bytes(length)
    return VolumeKey(found)


def drop_key(kind: str, description: str) -> bool:
    """Take a key out of the user's keyring and invalidate it; says whether it was there. Raises KeyringError."""
    number = find_key(kind, description)
    if number is None:
        return False
    library = _keyutils()
    library.keyctl_invalidate(number)  # gone for whoever has it linked elsewhere, too
    library.keyctl_unlink(number, _USER_KEYRING)
    return True


@cache
def _keyutils() -> ctypes.CDLL:
    return load_keyutils(_SONAME)


def load_keyutils(soname: str) -> ctypes.CDLL:
    """The library, with the user's keyring within reach of this process; raises KeyringError."""
    import ctypes

    try:
        library = ctypes.CDLL(soname, use_errno=True)
    except OSError as error:
        raise KeyringError(f"keys cannot be kept in the kernel: {error}; install libkeyutils1") from None
    number, text, size, pointer = ctypes.c_int32, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p
    library.add_key.argtypes = [text, text, pointer, size, number]
    library.add_key.restype = number
    for function, takes in (
        (library.keyctl_search, (number, text, text, number)),
        (library.keyctl_read, (number, pointer, size)),
        (library.keyctl_set_timeout, (number, ctypes.c_uint)),
        (library.keyctl_invalidate, (number,)),
        (library.keyctl_unlink, (number, number)),
        (library.keyctl_link, (number, number)),
    ):
        function.argtypes = takes
        function.restype = ctypes.c_long
    library.keyctl_link(_USER_KEYRING, _SESSION_KEYRING)
    return library


def _error(what: str) -> KeyringError:
    import ctypes
    import errno
    import os

    number = ctypes.get_errno()
    reason = os.strerror(number)
    if number == errno.EDQUOT:
        reason = "this user's share is full (see /proc/key-users and /proc/sys/kernel/keys/)"
    elif number in (errno.ENOSYS, errno.EPERM):
        reason = "the kernel has none, or this container may not use it"
    return KeyringError(f"{what}: {reason}", errno=number)
