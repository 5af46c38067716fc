"""What the pure rooms need of the world, as a value: the clock, randomness, the host's name."""

from __future__ import annotations

from cryptlv.names import UUID_ALPHABET, render_uuid
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _plenty() -> int:
    return 4 * 1024 * 1024


class Environment(Record):
    """Given to every function that would otherwise ask the system.

    `now` is seconds since the epoch, `random_bytes(n)` n fresh bytes, `monotonic()` seconds for measuring,
    `uname` the words after the host name in a metadata trailer, `command` the command line that is kept in the
    metadata's description (it never holds a secret: secrets are not taken from the command line), `system_id` the ID
    that this host puts on what it makes, "" for none. `cpus` and `usable_memory_kib()` bound what a key derivation
    that is chosen here may use.
    """

    now: int
    random_bytes: Callable[[int], bytes]
    monotonic: Callable[[], float]
    hostname: str
    uname: str = ""
    command: str = ""
    system_id: str = ""
    cpus: int = 1
    usable_memory_kib: Callable[[], int] = _plenty

    def new_uuid(self) -> str:
        """A fresh hyphenated LVM2 UUID; each character is drawn evenly from 62."""
        characters: list[str] = []
        while len(characters) < 32:
            characters += [UUID_ALPHABET[byte % 62] for byte in self.random_bytes(64) if byte < 248]
        return render_uuid("".join(characters[:32]))
