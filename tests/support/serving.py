"""`cryptlv serve` in a process of its own, for as long as a test needs it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from support.machine import Machine


class Serving:
    """The process, and what it has printed for each volume."""

    def __init__(self, process: subprocess.Popen[bytes], places: list[str]) -> None:
        self.process = process
        self.places = places

    @property
    def socket(self) -> str:
        """The path of the unix socket."""
        return parse_qs(urlsplit(self.places[0]).query)["socket"][0]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Have it end; its exit status and what it said on standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.decode("utf-8", "replace")


@contextmanager
def serving(machine: Machine, *words: str | Path, count: int = 1) -> Iterator[Serving]:
    """Serve, and wait for `count` places to be printed; afterwards it must end without an error."""
    process = machine.start("serve", *words)
    assert process.stdout is not None
    places = [process.stdout.readline().decode().strip() for _ in range(count)]
    served = Serving(process, [place for place in places if place])
    try:
        if not all(places):
            _, said = process.communicate(timeout=60)
            raise AssertionError(f"nothing is served: {said.decode()}")
        yield served
        if process.returncode is None:
            status, told = served.end()
            assert (status, "Traceback" in told) == (0, False), told
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
