"""The seed's plain handler: the cipher stands in the metadata, and the user gives the volume key itself.

Nothing is stored, so nothing tells a wrong key from the right one: with a wrong key of the right length the volume
opens and reads as noise. This is how `cryptsetup open --type plain --key-file` works too, with the same ciphertext.
"""

from __future__ import annotations

from cryptlv.ciphers.spec import check_key_bits, choose, parse_cipher_spec
from cryptlv.errors import CipherError, CredentialError, KeystoreError
from cryptlv.keys.handler import VOLUME_KEY, CipherParameters, KeystoreDraft, refuse_options
from cryptlv.keys.sectors import sector_extra, sectors_of
from cryptlv.secret import VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret


_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class PlainHandler:
    """See `cryptlv.keys.handler.KeyHandler`."""

    name = "plain"
    credential_kind = VOLUME_KEY

    def draft(self, request: KeystoreRequest) -> KeystoreDraft:
        refuse_options(self.name, request, ("sector_size", "has_large_ivs"))
        spec, bits = choose(request.cipher, request.key_size_bits)
        return KeystoreDraft(
            handler=self.name,
            cipher=spec.render(),
            key_size_bits=bits,
            key_hash="",
            image_bytes=0,
            request=request,
            extra=sector_extra(request),
        )

    def create(
        self, draft: KeystoreDraft, credential: Secret, env: Environment, uuid: str
    ) -> tuple[bytes, VolumeKey]:
        return b"", _key(credential, draft.key_size_bits)

    def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
        try:
            spec = parse_cipher_spec(attributes.cipher)
            check_key_bits(spec, attributes.key_size_bits)
        except CipherError as error:
            raise KeystoreError(f"the metadata of this plain keystore cannot be used: {error}") from None
        size, large = sectors_of(attributes)
        return CipherParameters(
            cipher=spec.render(), key_size_bits=attributes.key_size_bits, sector_size=size, has_large_ivs=large
        )

    def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
        return _key(credential, self.parameters(attributes, image).key_size_bits)


def _key(credential: Secret, bits: int) -> VolumeKey:
    """The credential as it is, or, when it has twice the length and nothing but hexadecimal digits, what they mean:
    nobody types 64 bytes otherwise."""
    length = bits // 8
    with credential.reveal() as view:
        if len(view) == length:
            return VolumeKey(view)
        if len(view) == 2 * length and all(byte in _HEX_DIGITS for byte in view):
            return VolumeKey(bytearray(int(bytes(view[place : place + 2]), 16) for place in range(0, len(view), 2)))
    raise CredentialError(
        f"the volume key must have {length} bytes (or {2 * length} hexadecimal digits), it has {len(credential)}"
    )
