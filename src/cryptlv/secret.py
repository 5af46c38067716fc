"""Secrets: one type, one owner, one exit.

A secret lives in memory of its own that is hidden from the rest of the system where the kernel can do that
(memfd_secret(2)), else locked against swapping and left out of core dumps; it is overwritten when it is closed, has
no useful `repr`, cannot be pickled, copied or compared, and is read only inside `with secret.reveal() as view`. While
one is alive, the process makes no core dump and cannot be traced by others of the same user.  SECURITY.md says what
this cannot promise.
"""

from __future__ import annotations

import mmap
from _thread import RLock
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator
    from typing import NoReturn, Self

_SYS_MEMFD_SECRET = 447
"""The system call's number, the same on every architecture (Linux 5.14)."""
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


class _Dumps:
    """Core dumps and tracing, forbidden as long as somebody wants it, and then as they were before."""

    def __init__(self) -> None:
        self._lock = RLock()  # entered again when a secret is collected while another is made
        self._wanted = 0
        self._before: tuple[int, tuple[int, int]] | None = None

    def forbid(self) -> None:
        """Count one more who wants it; never an error."""
        with self._lock, suppress(OSError, ValueError):
            self._wanted += 1
            if self._wanted == 1:
                import resource

                library = _library()
                limits = resource.getrlimit(resource.RLIMIT_CORE)
                self._before = library.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0), limits
                resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
                library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

    def allow(self) -> None:
        """Count one less; the last puts back what was found."""
        with self._lock, suppress(OSError, ValueError):
            self._wanted -= 1
            if not self._wanted and self._before is not None:
                import resource

                dumpable, limits = self._before
                self._before = None
                resource.setrlimit(resource.RLIMIT_CORE, limits)
                if dumpable == 1:  # other values can only be put back by the kernel
                    _library().prctl(_PR_SET_DUMPABLE, dumpable, 0, 0, 0)


_dumps = _Dumps()


def _library() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _secret_memory(length: int) -> mmap.mmap:
    """Fresh zeroed memory for a secret: the best that this system has, never an error."""
    import os

    descriptor = _library().syscall(_SYS_MEMFD_SECRET, os.O_CLOEXEC)
    if descriptor >= 0:
        try:
            os.ftruncate(descriptor, length)
            return mmap.mmap(descriptor, length)
        except (OSError, ValueError):
            pass  # as where more memory may not be locked
        finally:
            os.close(descriptor)
    buffer = mmap.mmap(-1, length)
    _lock_memory(buffer)
    return buffer


def _lock_memory(buffer: mmap.mmap) -> None:
    """mlock the buffer where the system lets us, and keep it out of core dumps: best effort, never an error."""
    import ctypes

    with suppress(OSError, AttributeError, ValueError):
        anchor = ctypes.c_char.from_buffer(buffer)
        _library().mlock(ctypes.c_void_p(ctypes.addressof(anchor)), len(buffer))
        del anchor
        buffer.madvise(mmap.MADV_DONTDUMP)


@contextmanager
def readable_by_c(view: memoryview) -> Iterator[ctypes.Array[ctypes.c_char]]:
    """The bytes where ctypes can point to them: in a copy, as it cannot to read-only memory, that is wiped."""
    import ctypes

    copy = (ctypes.c_char * len(view)).from_buffer_copy(view)
    try:
        yield copy
    finally:
        ctypes.memset(copy, 0, len(view))


class Secret:
    """Bytes that must not leak; `len()` is their number.  Raises ValueError when used after `close()`."""

    __slots__ = ("_buffer", "_length")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        """Copies `data`; a bytearray is overwritten with zeros, so that the only copy is this one."""
        self._length = len(data)
        self._buffer: mmap.mmap | None = None
        _dumps.forbid()
        try:
            self._buffer = _secret_memory(max(self._length, 1))
        except BaseException:
            _dumps.allow()
            raise
        self._buffer[: self._length] = data
        if isinstance(data, bytearray):
            data[:] = bytes(len(data))

    @contextmanager
    def reveal(self) -> Iterator[memoryview]:
        """A read-only view of the bytes, valid inside the `with` block only."""
        if self._buffer is None:
            raise ValueError(f"{type(self).__name__} is closed")
        whole = memoryview(self._buffer)
        view = whole[: self._length].toreadonly()
        try:
            yield view
        finally:
            view.release()
            whole.release()

    def matches(self, other: Secret) -> bool:
        """Whether both hold the same bytes, compared in constant time."""
        from hmac import compare_digest

        with self.reveal() as mine, other.reveal() as theirs:
            return compare_digest(mine, theirs)

    def close(self) -> None:
        """Overwrite the bytes and give the memory back; may be called twice."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            buffer[:] = bytes(len(buffer))
            buffer.close()
            _dumps.allow()

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_buffer", None) is not None:
            with suppress(Exception):  # modules may be gone when the interpreter ends
                self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __eq__(self, other: object) -> bool:
        raise TypeError(f"{type(self).__name__} cannot be compared with ==; use matches()")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied")


class Passphrase(Secret):
    """What a user typed or a key file holds."""

    __slots__ = ()


class VolumeKey(Secret):
    """The key that encrypts a volume's sectors (the seed's master key)."""

    __slots__ = ()
