"""The plain handler: the credential is the key; what dm-crypt does with it is in ciphers/."""

from __future__ import annotations

import pytest

from cryptlv.errors import CredentialError, KeystoreError, UsageError
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import VOLUME_KEY, KeystoreAttributes, KeystoreRequest
from cryptlv.keys.plain import PlainHandler
from cryptlv.secret import Passphrase

HANDLER = PlainHandler()
KEY = bytes(range(64))
ATTRIBUTES = KeystoreAttributes(handler="plain", cipher="aes-xts-plain64", key_size_bits=512)


def unlocked(credential: bytes, attributes: KeystoreAttributes = ATTRIBUTES) -> bytes:
    with HANDLER.unlock(attributes, b"", Passphrase(credential)) as key, key.reveal() as view:
        return bytes(view)


def test_the_key_is_taken_as_it_is_or_as_hexadecimal_digits() -> None:
    assert unlocked(KEY) == KEY
    assert unlocked(KEY.hex().encode()) == KEY
    assert unlocked(KEY.hex().upper().encode()) == KEY
    assert HANDLER.credential_kind == VOLUME_KEY


@pytest.mark.parametrize(
    "credential", [b"", KEY[:-1], KEY + b"\n", KEY.hex().encode() + b"\n", b"g" * 128, b"0" * 127]
)
def test_another_length_is_refused_with_the_right_one(credential: bytes) -> None:
    with pytest.raises(CredentialError, match="64 bytes"):
        unlocked(credential)


def test_nothing_is_stored() -> None:
    draft = HANDLER.draft(KeystoreRequest())
    assert draft.image_bytes == 0
    assert (draft.cipher, draft.key_size_bits) == ("aes-xts-plain64", 512)
    image, key = HANDLER.create(draft, Passphrase(KEY), make_environment(""), "")
    assert image == b""
    key.close()


def test_a_hash_makes_no_sense_here() -> None:
    with pytest.raises(UsageError, match="--hash"):
        HANDLER.draft(KeystoreRequest(key_hash="sha256"))


@pytest.mark.parametrize(
    "change", [{"cipher": ""}, {"cipher": "rot13-xts-plain"}, {"key_size_bits": 0}, {"key_size_bits": 8}]
)
def test_metadata_that_name_no_usable_cipher_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(KeystoreError, match="plain keystore"):
        HANDLER.parameters(ATTRIBUTES.replace(**change), b"")
