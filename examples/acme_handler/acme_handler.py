"""An example of a key handler in a package of its own: the volume key is derived from a passphrase by scrypt.

Nothing is stored but a salt, which the volume group's metadata keep. A real one would ask a key server instead.
cryptlv finds it by the entry point in pyproject.toml, when a keystore's `handler = "acme"` names it, and runs it in a
process of its own, which is ended when it takes too long.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from cryptlv.errors import KeystoreError
from cryptlv.keys.handler import PASSPHRASE, CipherParameters, KeystoreDraft
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret

_CIPHER, _BITS = "aes-xts-plain64", 512


class AcmeHandler:
    """See `cryptlv.keys.handler.KeyHandler`, which says what each of these is."""

    name = "acme"
    credential_kind = PASSPHRASE

    def draft(self, request: KeystoreRequest) -> KeystoreDraft:
        """What the metadata will say: cipher, key size, and the salt."""
        return KeystoreDraft(
            handler=self.name,
            cipher=request.cipher or _CIPHER,
            key_size_bits=request.key_size_bits or _BITS,
            key_hash="",
            image_bytes=0,
            request=request,
            extra=(("acme_salt", secrets.token_hex(16)),),
        )

    def create(
        self, draft: KeystoreDraft, credential: Secret, env: Environment, uuid: str
    ) -> tuple[bytes, VolumeKey]:
        """Nothing to store, and the key that the passphrase gives."""
        return b"", _key(dict(draft.extra), credential, draft.key_size_bits)

    def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
        """The cipher that goes with the key."""
        return CipherParameters(cipher=attributes.cipher, key_size_bits=attributes.key_size_bits)

    def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
        """The key. A wrong passphrase gives another key: there is nothing to tell it by, as with `hashed`."""
        return _key(dict(attributes.extra), credential, attributes.key_size_bits)


def _key(extra: Mapping[str, int | str], credential: Secret, bits: int) -> VolumeKey:
    salt = extra.get("acme_salt")
    if not isinstance(salt, str):
        raise KeystoreError("the metadata have no acme_salt")
    with credential.reveal() as view:
        derived = hashlib.scrypt(view, salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=bits // 8)
    return VolumeKey(bytearray(derived))
