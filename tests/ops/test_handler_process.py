"""The child's side: one question, one answer; what it says of errors of others is their kind only."""

from __future__ import annotations

import pytest

from cryptlv.errors import HandlerUnavailable, KeystoreError
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.ops.handler_process import answer
from cryptlv.ops.handlers import as_tree
from cryptlv.secret import VolumeKey

ATTRIBUTES = as_tree(KeystoreAttributes(handler="plain", cipher="aes-xts-plain64", key_size_bits=256))


def test_each_method_is_answered_in_words_and_bytes() -> None:
    told, parts = answer({"method": "describe", "handler": "plain"}, b"", None)
    assert (told, parts) == ({"credential_kind": "volume key"}, [])
    told, _ = answer({"method": "draft", "handler": "plain", "request": as_tree(KeystoreRequest())}, b"", None)
    assert told["draft"]["key_size_bits"] == 512
    assert told["request"]["iter_time_ms"] == 2000
    question = {"method": "parameters", "handler": "plain", "attributes": ATTRIBUTES}
    assert answer(question, b"", None)[0]["parameters"]["key_size_bits"] == 256
    _, (key,) = answer(question | {"method": "unlock"}, b"", bytearray(b"k" * 32))
    assert isinstance(key, VolumeKey)
    with key, key.reveal() as view:
        assert view == b"k" * 32


def test_what_is_wrong_is_raised_for_the_other_side() -> None:
    with pytest.raises(HandlerUnavailable):
        answer({"method": "describe", "handler": "acme"}, b"", None)
    luks = as_tree(KeystoreAttributes(handler="luks1"))
    with pytest.raises(KeystoreError):
        answer({"method": "parameters", "handler": "luks1", "attributes": luks}, b"no header", None)
