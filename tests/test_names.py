"""Names and identifiers, by lvm2's rules (lib/misc/lvm-string.c)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptlv.errors import UsageError
from cryptlv.names import (
    UUID_ALPHABET,
    check_lv_name,
    check_tag,
    check_vg_name,
    dm_name,
    is_keystore_name,
    is_name,
    is_plain_uuid,
    parse_uuid,
    printable,
    render_uuid,
    split_dm_name,
)


@pytest.mark.parametrize("name", ["vg0", "a.b", "_x", "+", "A-b_c.d+e", "x" * 127, "..."])
def test_good_names_come_back(name: str) -> None:
    assert check_vg_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a b", "a/b", "ü", "a\n", "x" * 128, "a@b", "a\0"])
def test_bad_names_are_refused_in_one_printable_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_vg_name(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["cryptostore0", "cryptostore17", "pvmove0", "snapshot1", "x_mlog", "a_tdata", "b_rimage_0", "c_pmspare"]
)
def test_reserved_names_are_not_for_users(name: str) -> None:
    with pytest.raises(UsageError, match=r"reserved|starting|including"):
        check_lv_name("vg", name)


@pytest.mark.parametrize("name", ["cryptostore", "cryptostore1a", "mycryptostore1", "rdata"])
def test_names_that_only_look_reserved_are_for_users(name: str) -> None:
    assert check_lv_name("vg", name) == name
    assert not is_keystore_name(name)


def test_both_names_together_must_fit_a_device_mapper_name() -> None:
    assert check_lv_name("v" * 60, "l" * 64)
    with pytest.raises(UsageError, match="too long"):
        check_lv_name("v" * 60, "l" * 66)


def test_dm_names_double_hyphens() -> None:
    """The pair of lvm2's own `dmsetup splitname` example in the facts."""
    assert dm_name("vg-with--hyphens.and+plus", "a--b") == "vg--with----hyphens.and+plus-a----b"


@given(st.text(UUID_ALPHABET + "!#", min_size=32, max_size=32))
def test_uuids_survive_their_hyphens(plain: str) -> None:
    text = render_uuid(plain)
    assert [len(part) for part in text.split("-")] == [6, 4, 4, 4, 4, 4, 6]
    assert parse_uuid(text) == plain
    assert is_plain_uuid(plain)


@pytest.mark.parametrize("text", ["", "a", "a" * 32, "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa?", "a" * 38])
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an LVM2 UUID"):
        parse_uuid(text)


@given(st.text())
def test_printable_text_can_be_printed(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize("name", ["", "-a", ".", "..", "a/b", "a\x1b", "\xe9", "x" * 128, "a b"])
def test_names_that_are_no_part_of_a_path_are_told(name: str) -> None:
    assert not is_name(name)
    assert is_name("A-b_c.d+e")


def test_control_characters_are_escaped_but_for_those_to_keep() -> None:
    assert printable("a\n\t\x1b\udcff\u202e", keep="\n\t") == "a\n\t\\x1b\\udcff\\u202e"


@pytest.mark.parametrize("tag", ["a", "@a", "-x", "a/b=c:d!e&f#g.h+i_j", "x" * 1024])
def test_tags_that_lvm2_takes(tag: str) -> None:
    assert check_tag(tag) == tag.removeprefix("@")


@pytest.mark.parametrize("tag", ["", "@", "a b", "%", "ä", "@@a", "x" * 1025])
def test_tags_that_lvm2_does_not_take(tag: str) -> None:
    with pytest.raises(UsageError, match="tag"):
        check_tag(tag)


@pytest.mark.parametrize(("vg", "lv"), [("vg", "lv"), ("v-g", "l--v"), ("a-", "b-"), ("v", "a_b-c")])
def test_names_of_devices_are_taken_apart(vg: str, lv: str) -> None:
    assert split_dm_name(dm_name(vg, lv)) == (vg, lv)


def test_a_name_of_one_part_is_no_volumes() -> None:
    assert split_dm_name("luks--1") == ("", "luks--1")
