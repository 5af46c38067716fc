"""Secrets show nothing, are wiped, and have one exit."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from cryptlv.secret import Passphrase, Secret, VolumeKey

BYTES = b"\x00\xffvery secret"


@pytest.mark.parametrize("kind", [Secret, Passphrase, VolumeKey])
def test_only_reveal_shows_the_bytes(kind: type[Secret]) -> None:
    secret = kind(BYTES)
    assert len(secret) == len(BYTES)
    with secret.reveal() as view:
        assert bytes(view) == BYTES
        assert view.readonly
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r}"):
        assert text == f"<{kind.__name__}>"


def test_the_view_is_dead_outside_its_block() -> None:
    with Secret(BYTES).reveal() as view:
        pass
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_a_bytearray_that_was_given_is_overwritten() -> None:
    source = bytearray(BYTES)
    with Secret(source):
        assert source == bytes(len(BYTES))


def test_closing_wipes_and_forbids_use() -> None:
    secret = Secret(BYTES)
    buffer = secret._buffer
    assert buffer is not None
    with memoryview(buffer) as memory:
        before = bytes(memory)
    assert before.startswith(BYTES)
    secret.close()
    secret.close()
    with pytest.raises(ValueError, match="closed"), secret.reveal():
        pass


def test_secrets_are_compared_in_one_way_only() -> None:
    one, same, other = Secret(b"a"), Secret(b"a"), Secret(b"b")
    assert one.matches(same)
    assert not one.matches(other)
    assert not one.matches(Secret(b"aa"))
    with pytest.raises(TypeError):
        assert one == same
    with pytest.raises(TypeError):
        hash(one)


def test_secrets_cannot_leave_by_copies_pickles_or_json() -> None:
    secret = Passphrase(BYTES)
    for leave in (copy.copy, copy.deepcopy, pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            leave(secret)
    assert not hasattr(secret, "__dict__")
