"""What the rest of the program means by a device: a byte-addressed store of fixed size that may cache writes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Device(Protocol):
        """A physical volume's bytes: a block device, a regular file, or memory.

        Every method raises DeviceError, with the path and the system's reason, when the device fails. All methods
        may be called from several threads at once. A write is durable only after `flush()` returns.
        """

        @property
        def path(self) -> str:
            """What a user calls it."""

        @property
        def size_bytes(self) -> int: ...

        @property
        def sector_size(self) -> int:
            """The smallest unit in which the device writes, in bytes (512 for a regular file)."""

        def read(self, offset_bytes: int, length_bytes: int) -> bytes:
            """Exactly `length_bytes` bytes; raises DeviceError when they are not all there."""

        def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
            """Fill a writable buffer; raises DeviceError when the device ends before it is full."""

        def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
            """Write all of `data`; never makes the device larger."""

        def discard(self, offset_bytes: int, length_bytes: int) -> None:
            """Say that a range is not needed; its content is undefined after it. May do nothing."""

        def punch(self, offset_bytes: int, length_bytes: int) -> bool:
            """Have a range read as zeros by giving up its storage; False where that cannot be: nothing is changed."""

        def extent_at(self, offset_bytes: int, length_bytes: int) -> tuple[int, bool]:
            """How many bytes from an offset on, `length_bytes` at most and one at least, are alike: whether they have
            storage of their own (True), or are a hole, which reads as zeros. What is not known has storage."""

        def start_reading(self, offset_bytes: int, length_bytes: int) -> None:
            """Say that a range is read soon. May begin to read it; promises nothing."""

        def start_writing(self, offset_bytes: int, length_bytes: int) -> None:
            """Say that a range was written and is not read soon. May begin to put it on storage; promises nothing."""

        def flush(self) -> None:
            """Return when all earlier writes are on stable storage."""

        def close(self) -> None: ...
