"""lvchange --addkey and the others, and what lvs shows of keyslots."""

from __future__ import annotations

import json

import pytest

from support.machine import FAST, Machine

COST = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")


@pytest.fixture
def store(vg0: Machine) -> Machine:
    """vg0 with an encrypted volume `x`, which the file `a` opens; `b` and `c` are other key files."""
    for name, data in (("a", b"first"), ("b", b"two\nlines\n"), ("c", b"\x00\xff")):
        vg0.key_file(name, data)
    vg0.run("lvcreate", "-n", "x", "-L", "4m", "--type", "crypt", *FAST, "--keyfile", "a", "vg0")
    return vg0


def shown(machine: Machine, *words: str) -> list[str]:
    fields = ("-o", "crypt_keyslots,crypt_keyslot_count", "--noheadings", "--separator", " ")
    return machine.run("lvs", *fields, *words).lines


def test_the_life_of_a_key(store: Machine) -> None:
    key = ("--keyfile", "a")
    said = store.run("lvchange", "--addkey", "--keyslot", "4", *COST, *key, "--newkeyfile", "b", "vg0/x")
    assert said.lines == ["Keyslot 4 of vg0/x added."]
    assert shown(store) == ["0:pbkdf2,4:pbkdf2 2"]
    said = store.run("lvchange", "--changekey", *COST, "--keyfile", "b", "--newkeyfile", "c", "vg0/x")
    assert said.lines == ["Keyslot 4 of vg0/x replaced by keyslot 1."]
    said = store.run("lvchange", "--backupkeystore", "kept", "vg0/x")
    assert "kept in kept" in said.out
    assert store.run("lvchange", "--removekey", *key, "vg0/x").lines == ["Keyslot 0 of vg0/x removed."]
    assert "no keyslot opens" in store.fail("lvchange", "--removekey", *key, "vg0/x")
    assert "nobody can be asked" in store.fail("lvchange", "--killkey", "1", "vg0/x")
    assert "the last that opens vg0/x" in store.fail("lvchange", "-y", "--killkey", "1", "vg0/x")
    assert store.run("lvchange", "-y", "--restorekeystore", "kept", "vg0/x").lines[0].endswith("restored.")
    assert shown(store) == ["0:pbkdf2,1:pbkdf2 2"]
    store.run("lvchange", "-ff", "--killkey", "0", "vg0/x")
    store.run("lvchange", "-ff", "--killkey", "1", "vg0/x")
    assert shown(store) == ["0"]


def test_old_and_new_passphrases_come_from_standard_input_line_by_line(store: Machine) -> None:
    store.run("lvchange", "--addkey", *COST, "vg0/x", given=b"first\nsecond\n")
    store.run("lvchange", "--changekey", *COST, "vg0/x", given=b"second\nthird\n")
    assert "no keyslot opens" in store.fail("lvchange", "--removekey", "vg0/x", given=b"second\n")
    store.run("lvchange", "--removekey", "vg0/x", given=b"third\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--addkey", "--removekey", "vg0/x"), "do not go together"),
        (("--addkey", "--addtag", "t", "vg0/x"), "no other change"),
        (("--addkey", "-ay", "vg0/x"), "no other change"),
        (("--addkey", "--keyfile", "-", "--newkeyfile", "-", "vg0/x"), "both be standard input"),
        (("--killkey", "0", "--keyslot", "1", "vg0/x"), "--keyslot needs"),
        (("--removekey", "--newkeyfile", "b", "vg0/x"), "--newkeyfile needs"),
        (("--removekey", "-S", "lv_name=x", "vg0/x"), "--select do not go together"),
        (("--removekey", "vg0/x", "vg0/y"), "name one encrypted volume"),
        (("--killkey", "-1", "vg0/x"), "whole number"),
        (("--addkey", "vg0"), "write VG/LV"),
    ],
)
def test_words_that_do_not_go_together_are_refused(vg0: Machine, words: tuple[str, ...], what: str) -> None:
    assert what in vg0.fail("lvchange", *words, status=3)


def test_reports_show_keyslots_in_every_form_and_select_by_them(store: Machine) -> None:
    store.run("lvchange", "--addkey", *COST, "--keyfile", "a", "--newkeyfile", "b", "vg0/x")
    store.run("lvcreate", "-n", "bare", "-L", "4m", "vg0")
    for form, expected in (("json", ("0:pbkdf2,1:pbkdf2", "2")), ("json_std", (["0:pbkdf2", "1:pbkdf2"], 2))):
        found = store.run("lvs", "--reportformat", form, "-o", "lv_name,crypt_keyslots,crypt_keyslot_count").out
        bare, row = json.loads(found)["report"][0]["lv"]
        assert (row["crypt_keyslots"], row["crypt_keyslot_count"]) == expected
        assert bare["crypt_keyslot_count"] in ("", None)
    for selection in ("crypt_keyslot_count=2", "crypt_keyslots={'1:pbkdf2'}", "crypt_keyslots=~pbkdf2"):
        assert store.run("lvs", "-o", "lv_name", "--noheadings", "-S", selection).lines == ["x"]
    store.run("lvchange", "--addtag", "two", "-S", "crypt_keyslot_count=2")
    assert store.run("lvs", "-o", "lv_name", "--noheadings", "-S", "lv_tags=two").lines == ["x"]
    assert "0:pbkdf2,1:pbkdf2" in store.run("lvs", "-a", "--segments", "-o", "+crypt_keyslots").out


def test_a_damaged_header_shows_nothing_and_the_report_goes_on(store: Machine) -> None:
    data = (store.folder / "a.img").read_bytes()
    place = data.index(b"LUKS\xba\xbe\x00\x02")
    with (store.folder / "a.img").open("r+b") as file:
        file.seek(place)
        file.write(bytes(40960))
    result = store.run("lvs", "--noheadings", "-o", "lv_name,crypt_keyslots,crypt_keyslot_count")
    assert result.lines == ["x"]
    assert "WARNING: vg0/cryptostore1: LUKS2 header" in result.err


def test_a_missing_device_shows_nothing_and_the_report_goes_on(store: Machine) -> None:
    (store.folder / "a.img").rename(store.folder / "away")
    result = store.run("lvs", "--noheadings", "-o", "lv_name,crypt_keyslots,crypt_keyslot_count")
    assert result.lines == ["x"]
    assert "header" not in result.err
