"""What handlers with keyslots can do besides opening: list them, add a key, take one away.

They work on a keystore's image, all of it, and give a new one; putting that on a disk so that no crash hurts is the
matter of whoever asks (ops/keyslots.py), who is told where the copies of the header lie.
"""

from __future__ import annotations

from importlib import import_module

from cryptlv.errors import KeystoreError
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret, VolumeKey

_PLACES = {
    "luks1": "cryptlv.keys.luks1_keyslots:Luks1Keyslots",
    "luks2": "cryptlv.keys.luks2_keyslots:Luks2Keyslots",
}


class KeyslotInfo(Record):
    """A keyslot that is in use: its number, how its passphrase is derived (or its type, when that is another), its
    priority where it is not the normal one ("prefer", "ignore"), the tokens that open it, and whether it has the
    volume's key (`is_bound`) or something else."""

    number: int
    kind: str
    priority: str = ""
    tokens: tuple[str, ...] = ()
    is_bound: bool = True

    @property
    def opens(self) -> bool:
        """Whether a passphrase that is in no other keyslot opens the volume by it, its number not being named."""
        return self.is_bound and self.priority != "ignore"

    @property
    def shown(self) -> str:
        """As reports have it, in a list with commas: `0:argon2id`, `1:pbkdf2:prefer`, `2:pbkdf2:clevis`."""
        words = (str(self.number), self.kind, self.priority, "" if self.is_bound else "unbound", *self.tokens)
        return ":".join(printable(word).replace(",", "\\x2c") for word in words if word)


if TYPE_CHECKING:

    class Keyslots(Protocol):
        """What there is for each handler with keyslots. Methods raise KeystoreError and CipherError."""

        def identity(self, image: bytes) -> str:
            """The UUID of the header and the digest of its volume key: the same for every header of one volume."""

        def used_bytes(self, image: bytes) -> int:
            """How much of the image is the header with its key material."""

        def header_copies(self, image: bytes) -> tuple[tuple[int, int], ...]:
            """Offset and bytes of each copy of the header without the key material, one that does not count (damaged,
            or older than the other) first: in this order they are overwritten, so that one is always whole."""

        def areas(self, image: bytes) -> tuple[tuple[int, int], ...]:
            """Offset and bytes of the key material of each keyslot in use."""

        def listed(self, image: bytes) -> tuple[KeyslotInfo, ...]:
            """The keyslots in use."""

        def find(
            self, attributes: KeystoreAttributes, image: bytes, credential: Secret, number: int | None = None
        ) -> tuple[int, VolumeKey]:
            """The keyslot that a credential opens, of all or the one named, and the volume key in it; raises
            WrongCredential."""

        def free_keyslot(self, image: bytes, number: int | None, request: KeystoreRequest) -> int:
            """The keyslot for a further key, the one named or the first that is free; raises KeystoreError when it is
            in use or there is no room, CipherError or UsageError for a derivation that the format does not have."""

        def with_key(
            self,
            image: bytes,
            number: int,
            volume_key: VolumeKey,
            credential: Secret,
            request: KeystoreRequest,
            env: Environment,
            *,
            like: int | None = None,
        ) -> bytes:
            """The image with the volume key under a further credential, in a keyslot that is free, with the priority
            and tokens of keyslot `like`; raises CredentialError for an empty credential, too."""

        def without_key(self, image: bytes, number: int, env: Environment) -> bytes:
            """The image without a keyslot, its key material overwritten."""


def has_keyslots(handler: str) -> bool:
    """Whether the handler of that name has keyslots that this program knows."""
    return handler in _PLACES


def find_keyslots(handler: str) -> Keyslots:
    """What the handler of that name has; raises KeystoreError for one without keyslots."""
    place = _PLACES.get(handler)
    if place is None:
        raise KeystoreError(f"key handler {printable(handler)!r} has no keyslots")
    module, _, name = place.partition(":")
    found: Keyslots = getattr(import_module(module), name)()
    return found
