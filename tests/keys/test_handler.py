"""What handlers are given and give are values, and hold no secret."""

from __future__ import annotations

from cryptlv.keys.handler import CipherParameters, KeystoreAttributes, KeystoreDraft, KeystoreRequest
from cryptlv.secret import Secret


def test_no_field_of_theirs_is_a_secret() -> None:
    for kind in (KeystoreRequest, KeystoreDraft, KeystoreAttributes, CipherParameters):
        assert not any(Secret.__name__ in str(note) for note in kind.__annotations__.values())
        assert kind.__fields__


def test_what_is_not_asked_for_is_left_to_the_handler() -> None:
    request = KeystoreRequest()
    assert (request.cipher, request.key_size_bits, request.key_hash, request.force_iterations) == ("", 0, "", 0)
