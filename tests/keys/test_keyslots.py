"""How keyslots are found and shown."""

from __future__ import annotations

import pytest

from cryptlv.errors import KeystoreError
from cryptlv.keys.keyslots import KeyslotInfo, find_keyslots, has_keyslots


@pytest.mark.parametrize(
    ("info", "shown", "opens"),
    [
        (KeyslotInfo(number=0, kind="argon2id"), "0:argon2id", True),
        (KeyslotInfo(number=1, kind="pbkdf2", priority="prefer"), "1:pbkdf2:prefer", True),
        (KeyslotInfo(number=2, kind="pbkdf2", tokens=("clevis",)), "2:pbkdf2:clevis", True),
        (KeyslotInfo(number=3, kind="argon2i", priority="ignore"), "3:argon2i:ignore", False),
        (KeyslotInfo(number=4, kind="pbkdf2", is_bound=False), "4:pbkdf2:unbound", False),
        (KeyslotInfo(number=5, kind="a,b\x1b[2J"), "5:a\\x2cb\\x1b[2J", True),
    ],
)
def test_a_keyslot_is_shown_as_one_word_of_a_list(info: KeyslotInfo, shown: str, opens: bool) -> None:
    assert info.shown == shown
    assert info.opens is opens


@pytest.mark.parametrize("handler", ["plain", "hashed", "acme\n"])
def test_handlers_without_keyslots_are_named(handler: str) -> None:
    assert not has_keyslots(handler)
    with pytest.raises(KeystoreError, match=r"^key handler '[^\n]*' has no keyslots$"):
        find_keyslots(handler)


@pytest.mark.parametrize("handler", ["luks1", "luks2"])
def test_those_with_keyslots_are_found(handler: str) -> None:
    assert has_keyslots(handler)
    assert type(find_keyslots(handler)).__name__.lower() == f"{handler}keyslots"
