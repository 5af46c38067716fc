"""Selections; that they choose what stock lvm2 chooses is in compat/test_selection_like_stock.py."""

from __future__ import annotations

import pytest

from cryptlv.errors import UsageError
from cryptlv.report.fields import choose_rows
from cryptlv.report.rows import SeenGroup, lv_rows
from cryptlv.report.select import selection_help


def chosen(seen: SeenGroup, text: str) -> list[str]:
    selection = choose_rows("lv", text, 0)
    return [row.lv.name for row in lv_rows([seen], hidden=True) if row.lv is not None and selection.matches(row)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["cryptostore1", "data", "secret"]),
        ("crypt_handler=luks1", ["cryptostore1", "secret"]),
        ("crypt_store=[cryptostore1]", ["secret"]),
        ("crypt_store='[cryptostore1]'", ["secret"]),
        ("crypt_cipher=~xts && lv_size>=12m", ["secret"]),
        ("crypt_keysize=512", ["cryptostore1", "secret"]),
        ("lv_name=data || (crypt_handler=luks1 && !(lv_name=~^secret$))", ["cryptostore1", "data"]),
        ("lv_skip_activation=skip", ["data"]),
        ("lv_role=[private&&crypt&&keystore]", ["cryptostore1"]),
        ("lv_role={crypt||x}", ["cryptostore1"]),
        ("lv_role=~{key.*&&^private}", ["cryptostore1"]),
        ("lv_role=~[key.*]", []),
        ("lv_name=~{data}", ["data"]),
    ],
)
def test_rows_are_chosen(seen: SeenGroup, text: str, names: list[str]) -> None:
    assert chosen(seen, text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * 5000 + "lv_name=a", "too many brackets"),
        ("lv_name", "a comparison"),
        ("lv_name=a lv_name=b", "at 'lv_name=b'"),
        ("lv_name=~(", ") is missing"),
        ("lv_name=~'('", "no regular expression"),
        ("lv_name=~*", "no regular expression"),
        ("lv_name<5", "not for lv_name"),
        ("lv_all=5", "not one field"),
        ("lv_size=1e9", "no size"),
        ("lv_tags=[a||b&&c]", "only one of"),
        ("&& lv_name=a", "a field's name"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)selection") as caught:
        choose_rows("lv", text, 0)
    assert message in str(caught.value)


def test_the_help_names_every_operator() -> None:
    for sign in ("=", "!=", "=~", "!~", "<", "<=", ">", ">=", "before", "until", "after", "since", "&&", "||", "!("):
        assert sign in selection_help()
