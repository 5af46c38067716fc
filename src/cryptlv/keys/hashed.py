"""The seed's hashed handler: the volume key is a hash of the passphrase, as `cryptsetup open --type plain` makes it.

Nothing is stored, so nothing tells a wrong passphrase from the right one: the volume opens and reads as noise.
Nothing slows guessing down either: it is for volumes that exist already, and for passphrases that are keys.

The hash (cryptsetup's lib/crypt_plain.c): when the key is longer than the digest, it is the digests of the
passphrase, of "A" and the passphrase, of "AA" and the passphrase, and so on, one behind the other. `HASH:LENGTH`
takes so many bytes of that, and zeros for the rest. `plain` takes the beginning of the passphrase itself,
and zeros where that is too short.
"""

from __future__ import annotations

import hashlib

from cryptlv.ciphers.kdf import HASHES, check_hash, new_hash
from cryptlv.ciphers.spec import check_key_bits, choose, parse_cipher_spec
from cryptlv.errors import CipherError, KeystoreError
from cryptlv.keys.handler import PASSPHRASE, CipherParameters, KeystoreDraft, refuse_options
from cryptlv.keys.sectors import sector_extra, sectors_of
from cryptlv.names import printable
from cryptlv.secret import VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret

DEFAULT_HASH = "sha512"
"""It fills the default cipher's key with one digest; cryptsetup's own default has changed over time."""
_PLAIN, _OLD = "plain", "md5"
"""Taken here alone: no hash at all, and one that is too weak for anything but old volumes."""


class HashedHandler:
    """See `cryptlv.keys.handler.KeyHandler`."""

    name = "hashed"
    credential_kind = PASSPHRASE

    def draft(self, request: KeystoreRequest) -> KeystoreDraft:
        refuse_options(self.name, request, ("key_hash", "sector_size", "has_large_ivs"))
        spec, bits = choose(request.cipher, request.key_size_bits)
        key_hash = request.key_hash or DEFAULT_HASH
        parse_hash(key_hash, bits // 8)
        return KeystoreDraft(
            handler=self.name,
            cipher=spec.render(),
            key_size_bits=bits,
            key_hash=key_hash,
            image_bytes=0,
            request=request,
            extra=sector_extra(request),
        )

    def create(
        self, draft: KeystoreDraft, credential: Secret, env: Environment, uuid: str
    ) -> tuple[bytes, VolumeKey]:
        return b"", hashed_key(credential, draft.key_hash, draft.key_size_bits // 8)

    def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
        try:
            spec = parse_cipher_spec(attributes.cipher)
            check_key_bits(spec, attributes.key_size_bits)
            parse_hash(attributes.key_hash, attributes.key_size_bits // 8)
        except CipherError as error:
            raise KeystoreError(f"the metadata of this hashed keystore cannot be used: {error}") from None
        size, large = sectors_of(attributes)
        return CipherParameters(
            cipher=spec.render(), key_size_bits=attributes.key_size_bits, sector_size=size, has_large_ivs=large
        )

    def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
        parameters = self.parameters(attributes, image)
        return hashed_key(credential, attributes.key_hash, parameters.key_size_bits // 8)


def parse_hash(text: str, key_bytes: int) -> tuple[str, int]:
    """The name of `HASH` or `HASH:LENGTH`, and how many bytes of a key it gives; raises CipherError."""
    name, colon, length = text.partition(":")
    if name not in (_PLAIN, _OLD):
        try:
            check_hash(name)
        except CipherError:
            known = ", ".join((*HASHES, _OLD, _PLAIN))
            raise CipherError(f"unknown hash {printable(name)!r}; known are {known}") from None
    if not colon:
        return name, key_bytes
    if not length.isascii() or not length.isdigit() or len(length) > 4 or int(length) > key_bytes:
        raise CipherError(
            f"hash {printable(text)!r}: the length is not a number of bytes up to the key's {key_bytes}"
        )
    return name, int(length)


def hashed_key(credential: Secret, key_hash: str, key_bytes: int) -> VolumeKey:
    """The volume key for a passphrase; raises CipherError."""
    name, length = parse_hash(key_hash, key_bytes)
    key = bytearray(key_bytes)
    with credential.reveal() as view:
        if name == _PLAIN:
            taken = min(length, len(view))
            key[:taken] = view[:taken]
            return VolumeKey(key)
        done = 0
        for number in range(length):
            state = hashlib.md5() if name == _OLD else new_hash(name)  # noqa: S324 - as old volumes have it
            state.update(b"A" * number)
            state.update(view)
            piece = state.digest()[: length - done]
            key[done : done + len(piece)] = piece
            done += len(piece)
            if done == length:
                break
    return VolumeKey(key)
