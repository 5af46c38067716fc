"""Secrets: one type, one owner, one exit.

A secret lives in memory of its own that is locked against swapping and left out of core dumps, is overwritten when
it is closed, has no useful `repr`, cannot be pickled, copied or compared, and is read only inside
`with secret.reveal() as view`.  SECURITY.md says what this cannot promise.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn, Self


def _lock_memory(buffer: mmap.mmap) -> None:
    """mlock the buffer where the system lets us, and keep it out of core dumps: best effort, never an error."""
    import ctypes

    try:
        anchor = ctypes.c_char.from_buffer(buffer)
        ctypes.CDLL(None, use_errno=True).mlock(ctypes.c_void_p(ctypes.addressof(anchor)), len(buffer))
        del anchor
        buffer.madvise(mmap.MADV_DONTDUMP)
    except (OSError, AttributeError, ValueError):
        return


class Secret:
    """Bytes that must not leak; `len()` is their number.  Raises ValueError when used after `close()`."""

    __slots__ = ("_buffer", "_length")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        """Copies `data`; a bytearray is overwritten with zeros, so that the only copy is this one."""
        self._length = len(data)
        self._buffer: mmap.mmap | None = mmap.mmap(-1, max(self._length, 1))
        _lock_memory(self._buffer)
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

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_buffer", None) is not None:
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
