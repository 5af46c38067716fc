"""LUKS headers and where their data are: as cryptsetup 2.6.1 made them, and as stock cryptsetup reads ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import KeystoreError
from cryptlv.keys.headers import find_header, uuid_in, with_data_at
from support.machine import Machine, need

from .conftest import MANIFEST, names

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Sample

WHOLE = [name for kind in ("luks1", "luks2") for name in names(kind, whole=True)]


@pytest.mark.parametrize("name", WHOLE)
def test_headers_say_where_their_data_are_and_whose_they_are(samples: dict[str, Sample], name: str) -> None:
    sample = samples[name]
    facts = sample.facts
    found = find_header(sample.image)
    assert found is not None
    assert (found.handler, found.uuid) == (facts["format"], facts["uuid"])
    detached = len(facts["files"]) > 1
    assert found.data_offset_bytes == (0 if detached else facts["payload_offset"])
    assert found.iv_tweak == facts.get("iv_tweak", 0)
    assert 0 < found.header_bytes <= (len(sample.image) if detached else facts["payload_offset"])
    assert uuid_in(sample.image[:208]) == facts["uuid"].encode()
    assert find_header(sample.image[: found.header_bytes]) == found, "so much of it is enough"


def test_what_has_no_header_is_not_taken_for_one() -> None:
    for data in (b"", bytes(4096), b"LUKX" + bytes(4096), b"\x53\xef" * 4096):
        assert find_header(data) is None
        assert uuid_in(data) == b""


@pytest.mark.parametrize("name", [facts["name"] for facts in MANIFEST if "integrity" in facts["name"]])
def test_authenticated_data_are_refused(samples: dict[str, Sample], name: str) -> None:
    with pytest.raises(KeystoreError, match="dm-integrity"):
        find_header(samples[name].image)


@pytest.mark.parametrize("name", [facts["name"] for facts in MANIFEST if facts["name"].startswith("reencrypt")])
def test_a_re_encryption_under_way_is_refused(samples: dict[str, Sample], name: str) -> None:
    with pytest.raises(KeystoreError, match="re-encryption was begun"):
        find_header(samples[name].image)


def test_a_header_whose_first_copy_is_gone_is_found_by_its_second(samples: dict[str, Sample]) -> None:
    image = samples["luks2-argon2id-xts512"].image
    found = find_header(bytes(4096) + image[4096:])
    assert found is not None
    assert found.uuid == samples["luks2-argon2id-xts512"].facts["uuid"]


@pytest.mark.parametrize("name", WHOLE)
def test_moved_headers_say_the_new_place_and_nothing_else_changes(samples: dict[str, Sample], name: str) -> None:
    sample = samples[name]
    image, kind = sample.image, sample.facts["format"]
    before = find_header(image)
    assert before is not None
    assert with_data_at(kind, image, before.data_offset_bytes, before.iv_tweak) == image
    moved = with_data_at(kind, image, 64 * 2**20, 0)
    after = find_header(moved)
    assert after == before.replace(data_offset_bytes=64 * 2**20, iv_tweak=0)
    header = 512 if kind == "luks1" else 2 * int.from_bytes(image[8:16], "big")
    assert moved[header:] == image[header:]
    assert len(moved) == len(image)


def test_places_that_a_header_cannot_say_are_refused(samples: dict[str, Sample]) -> None:
    luks1, luks2 = samples["luks1-xts256-sha1"].image, samples["luks2-argon2id-xts512"].image
    with pytest.raises(KeystoreError, match="LUKS1 header cannot say"):
        with_data_at("luks1", luks1, 0, 2**40)
    with pytest.raises(KeystoreError, match="outside the header"):
        with_data_at("luks1", luks1, 4096, 0)
    with pytest.raises(KeystoreError, match="inside the header"):
        with_data_at("luks2", luks2, 4096, 0)
    with pytest.raises(KeystoreError, match="no LUKS header"):
        with_data_at("plain", b"", 0, 0)


@pytest.mark.compat
@pytest.mark.parametrize(("name", "tweak"), [("luks1-xts256-sha1", 0), ("luks2-argon2id-xts512", 2**40)])
def test_stock_cryptsetup_reads_and_opens_moved_headers(
    samples: dict[str, Sample], name: str, tweak: int, tmp_path: Path
) -> None:
    need("cryptsetup")
    sample, machine = samples[name], Machine(tmp_path)
    key = machine.key_file("key", sample.passphrases[0])
    for offset in (0, 4 * 2**20):
        header = machine.folder / f"{offset}.hdr"
        moved = with_data_at(sample.facts["format"], sample.image, offset, tweak)
        header.write_bytes(moved)
        machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", key, header)
        if sample.facts["format"] == "luks1":
            dump = machine.tool("cryptsetup", "luksDump", header).out
            assert re.search(r"^Payload offset:\s*(\d+)$", dump, re.MULTILINE)[1] == str(offset // 512)  # type: ignore[index]
        else:
            dump = machine.tool("cryptsetup", "luksDump", "--dump-json-metadata", header).out
            assert f'"offset":"{offset}"' in re.sub(r"\s", "", dump)
            assert f'"iv_tweak":"{tweak}"' in re.sub(r"\s", "", dump)
