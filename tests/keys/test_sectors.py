"""Sector sizes of keystores without a header: what is kept in the metadata, and what is refused."""

from __future__ import annotations

import pytest

from cryptlv.errors import CipherError, KeystoreError, UsageError
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.registry import find_handler
from cryptlv.keys.sectors import check_sector_size, sector_extra, sectors_of

HANDLERS = pytest.mark.parametrize("handler", ["plain", "hashed"])


def request(size: int, *, large: bool = False, unit: int = 0) -> KeystoreRequest:
    return KeystoreRequest(sector_size=size, has_large_ivs=large, unit_bytes=unit)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (request(0), ()),
        (request(512), ()),
        (request(4096), (("sector_size", 4096),)),
        (request(2048, large=True, unit=2**20), (("sector_size", 2048), ("iv_large_sectors", 1))),
    ],
)
@HANDLERS
def test_what_is_not_the_default_is_kept_and_found_again(
    handler: str, asked: KeystoreRequest, kept: tuple[tuple[str, int], ...]
) -> None:
    draft = find_handler(handler).draft(asked)
    assert draft.extra == kept == sector_extra(asked)
    attributes = KeystoreAttributes(
        handler=handler,
        cipher=draft.cipher,
        key_size_bits=draft.key_size_bits,
        key_hash=draft.key_hash,
        extra=draft.extra,
    )
    parameters = find_handler(handler).parameters(attributes, b"")
    assert (parameters.sector_size, parameters.has_large_ivs) == (asked.sector_size or 512, asked.has_large_ivs)
    assert sectors_of(attributes.replace(extra=(("future", "x"), *kept))) == sectors_of(attributes)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (request(513), "513 is not one of 512, 1024, 2048, 4096"),
        (request(8192), "8192 is not one of"),
        (request(4096, unit=1024), "4096 bytes do not fit into extents of 1024"),
        (request(0, large=True), "needs a --sector-size that is larger than 512"),
        (request(512, large=True), "needs a --sector-size that is larger than 512"),
    ],
)
@HANDLERS
def test_what_there_is_not_is_refused(handler: str, asked: KeystoreRequest, said: str) -> None:
    with pytest.raises(CipherError, match=said):
        find_handler(handler).draft(asked)


@pytest.mark.parametrize("key", ["sector_size", "iv_large_sectors"])
@pytest.mark.parametrize("value", [513, -1, 2**63, "4096", "yes"])
@HANDLERS
def test_other_values_in_the_metadata_are_named(handler: str, key: str, value: int | str) -> None:
    attributes = KeystoreAttributes(
        handler=handler, cipher="aes-xts-plain64", key_size_bits=512, key_hash="sha512", extra=((key, value),)
    )
    with pytest.raises(KeystoreError, match=rf"the metadata says {key} = "):
        find_handler(handler).parameters(attributes, b"")


def test_luks_headers_say_a_sector_size_but_never_that_ivs_are_large() -> None:
    assert check_sector_size(request(4096)) == 4096
    with pytest.raises(CipherError, match="LUKS2 header cannot say"):
        find_handler("luks2").draft(request(4096, large=True))
    with pytest.raises(UsageError, match="luks1 takes no --iv-large-sectors"):
        find_handler("luks1").draft(request(0, large=True))
