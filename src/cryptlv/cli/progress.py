"""How far a long operation is: a line on a terminal, or JSON lines for programs; and its end at Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager

from cryptlv.cli.options import Option
from cryptlv.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from cryptlv.cli.options import Arguments

PROGRESS_JSON = Option(
    long="progress-json", help="Write how far it is to standard error, as a line of JSON each second."
)
_LINE_SECONDS = 0.2
_JSON_SECONDS = 1.0


class Progress:
    """Watches a long operation (ops/copying.py:Watch) and shows it on `stream`.

    On a terminal (`is_terminal`) one line is written again and again, five times a second at most; with `as_json` a
    JSON object a line, one a second at most and one at the end; else nothing. `clock` gives seconds.
    """

    def __init__(
        self,
        operation: str,
        stream: TextIO,
        *,
        is_terminal: bool,
        as_json: bool = False,
        begins_late: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_stopping = False
        self._begins_late = begins_late
        self._operation = operation
        self._stream = stream
        self._is_terminal = is_terminal and not as_json
        self._as_json = as_json
        self._clock = clock
        self._start: tuple[float, int] | None = None
        self._shown_at = float("-inf")
        self._last: tuple[int, int] | None = None
        self._told: tuple[int, int] | None = None

    def tell(self, done_bytes: int, total_bytes: int) -> None:
        """That so much is done; shown when it is time for it."""
        now = self._clock()
        self._start = self._start or (now, done_bytes)
        self._told = done_bytes, total_bytes
        if now - self._shown_at >= (_JSON_SECONDS if self._as_json else _LINE_SECONDS):
            self._show(now)

    def stop(self, *_: object) -> None:
        """Ask the operation to end soon; the second time, or before its beginning, it is interrupted where it is."""
        if self.is_stopping or (self._begins_late and self._told is None):
            raise KeyboardInterrupt
        self.is_stopping = True

    def finish(self) -> None:
        """Show the last of it; a terminal's line is taken away."""
        if self._as_json and self._told is not None and self._last != self._told:
            self._show(self._clock())
        if self._is_terminal and self._last is not None:
            self._write("\r\x1b[K")

    def _show(self, now: float) -> None:
        if self._told is None or self._start is None:
            return
        self._shown_at, self._last = now, self._told
        done, total = self._told
        rate = (done - self._start[1]) / (now - self._start[0]) if now > self._start[0] else 0.0
        left = (total - done) / rate if rate > 0 else None
        if self._as_json:
            self._write(self._json(done, total, rate, left))
        elif self._is_terminal:
            percent = 100 * done // total if total else 100
            figures = [f"{format_size(done).strip()} of {format_size(total).strip()}", f"{percent}%"]
            if left is not None:
                figures += [f"{format_size(int(rate))}/s", f"{_duration(left)} left"]
            end = " stopping ..." if self.is_stopping else ""
            self._write(f"\r  {self._operation}: {', '.join(figures)}{end}\x1b[K")

    def _json(self, done: int, total: int, rate: float, left: float | None) -> str:
        import json

        event = {
            "event": "progress",
            "operation": self._operation,
            "done_bytes": done,
            "total_bytes": total,
            "rate_bytes_per_s": round(rate),
            "eta_s": None if left is None else round(left, 1),
        }
        return json.dumps(event) + "\n"

    def _write(self, text: str) -> None:
        """Nobody who reads progress and goes away may stop the operation."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._is_terminal = self._as_json = False


def _duration(seconds: float) -> str:
    """`0:05`, `12:34`, `3:00:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def progress(
    arguments: Arguments, operation: str, *, as_json: bool = False, begins_late: bool = False
) -> Iterator[Progress]:
    """The progress of a command's long operation, shown as its options want it.

    Meanwhile an interrupt (SIGINT), SIGTERM or SIGHUP asks the operation to end when what it has done is whole. With
    `begins_late` nothing is done before it is first told of, so that it is interrupted at once.
    """
    shown = Progress(
        operation,
        sys.stderr,
        is_terminal=sys.stderr.isatty() and not arguments.has("quiet"),
        as_json=as_json or arguments.has(PROGRESS_JSON.long),
        begins_late=begins_late,
    )
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    wanted = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup(1)
    before = {number: signal.signal(number, shown.stop) for number in wanted}
    try:
        yield shown
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        shown.finish()
