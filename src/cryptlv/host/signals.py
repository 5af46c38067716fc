"""Interrupts kept waiting while a step is done as a whole, as lvm2 has them (lib/misc/lvm-signal.c)."""

from __future__ import annotations

from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def held_back() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP wait until the block has ended, and then have their effect.

    They are caught rather than blocked: the kernel would hand a blocked one to another thread, such as a library's.
    Only the main thread is ever interrupted, so in any other nothing is done.
    """
    import signal

    came: list[int] = []
    before = []
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with suppress(ValueError):  # another thread
            before.append((kind, signal.signal(kind, lambda number, _: came.append(number))))
    try:
        yield
    finally:
        for kind, handler in before:
            signal.signal(kind, handler if handler is not None else signal.SIG_DFL)
        for number in came:
            signal.raise_signal(number)
