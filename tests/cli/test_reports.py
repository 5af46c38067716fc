"""pvs, vgs and lvs as programs; equality with stock is in compat/."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.machine import FAST

if TYPE_CHECKING:
    from support.machine import Machine


def test_hidden_keystores_are_shown_with_a_only(vg0: Machine) -> None:
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l2", "-nsecret", "vg0", given=b"x\n")
    assert vg0.run("lvs", "--noheadings", "-o", "lv_name").lines == ["secret"]
    assert vg0.run("lvs", "-a", "--noheadings", "-o", "lv_name").lines == ["[cryptostore1]", "secret"]
    assert vg0.run("vgs", "--noheadings", "-o", "lv_count").lines == ["1"]


def test_json_has_the_crypt_fields(vg0: Machine) -> None:
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l2", "-nsecret", "vg0", given=b"x\n")
    fields = "+crypt_store,crypt_handler,crypt_cipher,crypt_keysize"
    (row,) = json.loads(vg0.run("lvs", "-o", fields, "--reportformat", "json").out)["report"][0]["lv"]
    assert row["lv_name"] == "secret"
    assert row["lv_size"] == "8.00m"
    assert row["crypt_store"] == "[cryptostore1]"
    assert (row["crypt_handler"], row["crypt_cipher"], row["crypt_keysize"]) == ("luks2", "aes-xts-plain64", "512")


def test_the_fields_are_listed(machine: Machine) -> None:
    for command, field in (("pvs", "pv_free"), ("vgs", "vg_extent_size"), ("lvs", "crypt_cipher")):
        assert any(line.startswith(f"{field} ") for line in machine.run(command, "-o", "help").lines)


def test_nothing_there_is_nothing_shown(machine: Machine) -> None:
    for command in ("pvs", "vgs", "lvs"):
        result = machine.run(command)
        assert result.out == result.err == ""


def test_rows_are_selected(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l2", "-na", "vg0")
    vg0.run("lvcreate", "-l1", "-nb", "vg0")
    assert vg0.run("lvs", "--noheadings", "-o", "name", "-S", "lv_size>4m").lines == ["a"]
    assert vg0.run("lvs", "--noheadings", "-o", "name", "-S", "seg_start_pe=0").lines == ["a", "b"]
    assert "&&" in vg0.run("lvs", "-S", "help").out
    assert vg0.run("lvs", "-S", "lv_size>", expect=3).err.count("\n") == 1


def test_json_std_is_json(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l2", "-na", "vg0")
    text = vg0.run("lvs", "-o", "+seg_count,lv_tags,data_percent", "--reportformat", "json_std").out
    (row,) = json.loads(text)["report"][0]["lv"]
    assert (row["seg_count"], row["lv_tags"], row["data_percent"]) == (1, [], None)
