"""Fields: lvm2's names, letters and headings; how -o changes the choice. Values: compat/ compares them with stock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import UsageError
from cryptlv.report.fields import DEFAULT_FIELDS, FIELDS, choose_fields, usable_fields
from cryptlv.report.rows import Row, SeenPv, lv_rows, pv_rows, seen_group, segment_rows, vg_rows

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup

MIB = 1024 * 1024


def values(rows: list[Row], name: str) -> list[object]:
    return [FIELDS[name].value(row) for row in rows]


def test_encrypted_volumes_show_their_store_and_its_attributes(seen: SeenGroup) -> None:
    rows = lv_rows([seen], hidden=True)
    assert values(rows, "lv_name") == ["[cryptostore1]", "data", "secret"]
    assert values(rows, "crypt_store") == [None, None, "[cryptostore1]"]
    assert values(rows, "crypt_handler") == ["luks1", None, "luks1"]
    assert values(rows, "crypt_cipher") == ["aes-xts-plain64", None, "aes-xts-plain64"]
    assert values(rows, "crypt_keysize") == [512, None, 512]
    assert values(segment_rows(rows), "segtype") == ["crypt-keystore", "linear", "crypt", "crypt"]
    assert values(rows, "lv_layout") == ["crypt-keystore", "linear", "crypt"]
    assert values(rows, "lv_size") == [4 * MIB, 16 * MIB, 12 * MIB]


def test_attribute_letters(seen: SeenGroup) -> None:
    assert values(lv_rows([seen], hidden=True), "lv_attr") == ["ern-------", "-wi------k", "-wi-a-----"]
    assert values(vg_rows([seen]), "vg_attr") == ["wz--n-"]
    partial = seen_group(seen.vg, {"pv0": seen.pvs["pv0"]}, seen.active_ids)
    assert values(lv_rows([partial], hidden=True), "lv_attr") == ["ern-------", "-wi-----pk", "-wi-a---p-"]
    assert values(vg_rows([partial]), "vg_attr") == ["wz-pn-"]
    assert values(pv_rows([partial], []), "pv_attr") == ["a--", "a-m"]
    assert values(pv_rows([partial], []), "pv_missing") == ["", "missing"]
    exported = seen.vg.replace(status=("EXPORTED", "RESIZEABLE", "READ", "WRITE"), lock_type="sanlock")
    assert values(vg_rows([seen.replace(vg=exported)]), "vg_attr") == ["wzx-ns"]
    orphan = SeenPv(pv_id="x", path="/o", size_bytes=7, used_by_unknown=True)
    assert values(pv_rows([], [orphan, orphan.replace(used_by_unknown=False)]), "pv_attr") == ["u--", "---"]


def test_sums_of_a_group(seen: SeenGroup) -> None:
    rows = vg_rows([seen])
    expected = {"pv_count": 2, "lv_count": 2, "vg_size": 80 * MIB, "vg_free": 48 * MIB, "vg_extent_count": 20}
    assert {name: values(rows, name)[0] for name in expected} == expected
    assert values(pv_rows([seen], []), "pv_free") == [28 * MIB, 20 * MIB]


def test_options_choose_add_and_take_away() -> None:
    def names(*options: str) -> list[str]:
        return [field.name for field in choose_fields("vg", options)]

    default = DEFAULT_FIELDS["vg"].split(",")
    assert names() == default
    assert names("+uuid") == [*default, "vg_uuid"]
    assert names("-vg_attr,pv_count") == [name for name in default if name not in ("vg_attr", "pv_count")]
    assert names("name,vg_size,size") == ["vg_name", "vg_size"]
    assert names("vg_name", "+vgfree") == ["vg_name", "vg_free"]
    assert names("all") == [field.name for field in usable_fields("vg")]


def test_what_depends_on_relations_is_nothing_for_a_volume_without(seen: SeenGroup) -> None:
    names = [field.name for field in usable_fields("lv") if field.of_relations]
    assert {"pool_lv", "origin", "move_pv"} <= set(names)
    assert not seen.relations
    for name in names:
        assert not any(values(lv_rows([seen], hidden=True), name)), name


@pytest.mark.parametrize("options", [("bogus",), ("lv_name",), ("+", "bogus"), ("name", "-name")])
def test_what_cannot_be_shown_is_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="field"):
        choose_fields("vg", options)


@pytest.mark.parametrize("kind", ["pv", "vg", "lv"])
def test_every_field_gives_a_value_or_none_for_every_row(seen: SeenGroup, kind: str) -> None:
    rows = {"pv": pv_rows([seen], []), "vg": vg_rows([seen]), "lv": lv_rows([seen], hidden=True)}[kind]
    rows += pv_rows([], [SeenPv(pv_id="x", path="/o", size_bytes=7)]) if kind == "pv" else []
    for field in usable_fields(kind):
        assert FIELDS[field.name] is field
        assert field.help.endswith(".")
        for row in rows:
            assert isinstance(field.value(row), str | int | None)
