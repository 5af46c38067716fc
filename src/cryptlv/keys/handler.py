"""What a key handler is.

A handler is given what the user asked for, or what the metadata says of a keystore and the bytes in its extents
(its image), and a credential; it gives a volume key and says which cipher goes with it.
"""

from __future__ import annotations

from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from cryptlv.environment import Environment
    from cryptlv.secret import Secret, VolumeKey

PASSPHRASE = "passphrase"  # noqa: S105 - the word, not one
VOLUME_KEY = "volume key"


class KeystoreRequest(Record):
    """What the user asked for; "" and 0 stand for the handler's defaults.

    `iter_time_ms` is how long unlocking may take, `force_iterations` an exact PBKDF2 count instead.
    """

    cipher: str = ""
    key_size_bits: int = 0
    key_hash: str = ""
    iter_time_ms: int = 2000
    force_iterations: int = 0


class KeystoreDraft(Record):
    """What a new keystore will be: attributes for the metadata, and the bytes that its image needs (0: none).

    `request` is what was asked for, the defaults filled in.
    """

    handler: str
    cipher: str
    key_size_bits: int
    key_hash: str
    image_bytes: int
    request: KeystoreRequest
    extra: tuple[tuple[str, int | str], ...] = ()


class KeystoreAttributes(Record):
    """What the metadata says of a keystore; "" and 0 where it says nothing."""

    handler: str
    cipher: str = ""
    key_size_bits: int = 0
    key_hash: str = ""
    extra: tuple[tuple[str, int | str], ...] = ()


class CipherParameters(Record):
    """What the sector engine, or dm-crypt, needs besides the key."""

    cipher: str
    key_size_bits: int
    sector_size: int = 512


if TYPE_CHECKING:

    class KeyHandler(Protocol):
        """The interface of every handler. Methods raise CipherError, KeystoreError, CredentialError, or
        WrongCredential when the credential opens nothing."""

        @property
        def name(self) -> str:
            """The word in the metadata's `handler = "..."`."""

        @property
        def credential_kind(self) -> str:
            """What to ask the user for: PASSPHRASE or VOLUME_KEY."""

        def draft(self, request: KeystoreRequest) -> KeystoreDraft:
            """What the keystore will be; asks nobody and makes no key."""

        def create(
            self, draft: KeystoreDraft, credential: Secret, env: Environment, uuid: str
        ) -> tuple[bytes, VolumeKey]:
            """The image (wrapped keys only, b"" when nothing is stored) and the new volume key."""

        def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
            """The cipher that goes with the key; needs no credential."""

        def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
            """The volume key."""
