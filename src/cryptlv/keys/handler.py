"""What a key handler is.

A handler is given what the user asked for, or what the metadata says of a keystore and the bytes in its extents
(its image), and a credential; it gives a volume key and says which cipher goes with it.
"""

from __future__ import annotations

from cryptlv.errors import KeystoreError, UsageError
from cryptlv.names import printable
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

    `iter_time_ms` is how long unlocking may take, `force_iterations` an exact count of PBKDF2's iterations or
    Argon2's passes instead. `pbkdf` is one of ciphers/kdf.py:KDFS, `pbkdf_memory_kib` and `pbkdf_lanes` are for
    Argon2. `sector_size` is in bytes, and with `has_large_ivs` the IVs count such sectors; `metadata_bytes` and
    `keyslots_bytes` are the sizes of a header's parts. Images take whole units of `unit_bytes`, so that a handler may
    use the rest of the last one.
    """

    cipher: str = ""
    key_size_bits: int = 0
    key_hash: str = ""
    iter_time_ms: int = 2000
    force_iterations: int = 0
    pbkdf: str = ""
    pbkdf_memory_kib: int = 0
    pbkdf_lanes: int = 0
    sector_size: int = 0
    has_large_ivs: bool = False
    metadata_bytes: int = 0
    keyslots_bytes: int = 0
    unit_bytes: int = 0


def refuse_options(handler: str, request: KeystoreRequest, takes: tuple[str, ...] = ()) -> None:
    """Raise UsageError for what was asked for, besides cipher and key size, of a handler that has no such thing;
    `takes` are the fields that it has."""
    for name, option in _OPTIONS.items():
        if name not in takes and getattr(request, name) != KeystoreRequest.__defaults__[name]:
            raise UsageError(f"handler {handler} takes no --{option}")


def check_agreement(attributes: KeystoreAttributes, kind: str, cipher: str, key_size_bits: int) -> None:
    """Raise KeystoreError when the metadata of a keystore say something else than the header in it."""
    for said, found in ((attributes.cipher, cipher), (attributes.key_size_bits, key_size_bits)):
        if said and said != found:
            shown, there = printable(str(said)), printable(str(found))
            raise KeystoreError(f"the metadata says {shown}, but the {kind} header says {there}")


_OPTIONS = {
    "key_hash": "hash",
    "iter_time_ms": "iter-time",
    "force_iterations": "pbkdf-force-iterations",
    "pbkdf": "pbkdf",
    "pbkdf_memory_kib": "pbkdf-memory",
    "pbkdf_lanes": "pbkdf-parallel",
    "sector_size": "sector-size",
    "has_large_ivs": "iv-large-sectors",
    "metadata_bytes": "luks2-metadata-size",
    "keyslots_bytes": "luks2-keyslots-size",
}
"""What users call the fields of a request."""


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
    """What the sector engine, or dm-crypt, needs besides the key; with `has_large_ivs` IVs count sectors of
    `sector_size` instead of 512 bytes.

    `remarks` are what a user should know of the image, such as damage that does no harm yet; `mends` are the bytes,
    by their offset in the image, that would make it whole.
    """

    cipher: str
    key_size_bits: int
    sector_size: int = 512
    has_large_ivs: bool = False
    remarks: tuple[str, ...] = ()
    mends: tuple[tuple[int, bytes], ...] = ()


if TYPE_CHECKING:

    class KeyHandler(Protocol):
        """The interface of every handler. Methods raise CipherError, KeystoreError, CredentialError, UsageError for a
        request, or WrongCredential when the credential opens nothing."""

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
