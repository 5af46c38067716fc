"""dm-crypt's cipher specifications: what is known, what is refused by name, and the defaults."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.spec import CipherSpec, check_key_bits, choose, parse_cipher_spec
from cryptlv.errors import CipherError

_MANIFEST = Path(__file__).parent.parent / "golden" / "dmcrypt" / "manifest.jsonl"
_KNOWN = {
    "aes-xts-plain": (256, 512),
    "aes-xts-plain64": (256, 512),
    "aes-cbc-plain": (128, 192, 256),
    "aes-cbc-plain64": (128, 192, 256),
    "aes-cbc-essiv:sha256": (128, 192, 256),
}


def _kernels_other_ciphers() -> list[Any]:
    lines = [json.loads(line) for line in _MANIFEST.read_text(encoding="utf-8").splitlines()[1:]]
    other = [(case["spec"], case["key_bits"]) for case in lines]
    return [pair for pair in dict.fromkeys(other) if pair[1] not in _KNOWN.get(pair[0], ())]


@pytest.mark.parametrize(("spec", "bits"), _kernels_other_ciphers())
def test_what_the_kernel_has_and_this_program_not_is_refused_by_name(spec: str, bits: int) -> None:
    with pytest.raises(CipherError) as caught:
        choose(spec, bits)
    text = str(caught.value)
    assert spec in text
    assert (str(bits) in text) if spec in _KNOWN else ("unknown" in text)
    assert "\n" not in text


def test_the_refused_ciphers_of_the_kernel_are_many() -> None:
    assert len(_kernels_other_ciphers()) == 96


@pytest.mark.parametrize(("spec", "sizes"), _KNOWN.items())
def test_a_known_specification_is_rendered_as_it_was_read(spec: str, sizes: tuple[int, ...]) -> None:
    parsed = parse_cipher_spec(spec)
    assert parsed.render() == spec
    assert parsed.key_bits == sizes
    for bits in sizes:
        check_key_bits(parsed, bits)


def test_the_parts_of_a_specification() -> None:
    assert parse_cipher_spec("aes-cbc-essiv:sha256") == CipherSpec(
        cipher="aes", mode="cbc", iv="essiv", iv_hash="sha256"
    )
    assert parse_cipher_spec("aes-xts-plain64") == CipherSpec(cipher="aes", mode="xts", iv="plain64")


@pytest.mark.parametrize("short", ["aes", "aes-plain"])
def test_dm_crypts_short_forms_mean_aes_cbc_plain(short: str) -> None:
    assert parse_cipher_spec(short).render() == "aes-cbc-plain"


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("", "''"),
        ("des", "'des'"),
        ("AES-xts-plain64", "'AES'"),
        ("aes-xts", "''"),
        ("aes-XTS-plain64", "'XTS'"),
        ("aes-cbc-plain65", "'plain65'"),
        ("aes-xts-essiv:sha256", "'essiv'"),
        ("aes-cbc-essiv", "''"),
        ("aes-cbc-essiv:sha512", "'sha512'"),
        ("aes-xts-plain64:sha256", "plain64"),
        ("aes-xts-plain64-more", "'plain64-more'"),
        (" aes-xts-plain64", "' aes'"),
        ("aes:64-cbc-plain64", "'aes:64'"),
        ("aes\n-xts-plain64", r"aes\n"),
        ("aes-xts-plain64\x1b[31m", r"\x1b[31m"),
    ],
)
def test_the_error_names_what_is_not_known(spec: str, named: str) -> None:
    with pytest.raises(CipherError) as caught:
        parse_cipher_spec(spec)
    assert named in str(caught.value).replace("\\\\", "\\")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("spec", "bits"),
    [
        ("aes-xts-plain64", 128),
        ("aes-xts-plain64", 384),
        ("aes-xts-plain64", -256),
        ("aes-xts-plain64", 513),
        ("aes-cbc-plain64", 512),
        ("aes-cbc-plain64", 64),
        ("aes-cbc-plain64", 1),
    ],
)
def test_a_key_size_that_the_cipher_does_not_take_is_refused_with_both_named(spec: str, bits: int) -> None:
    with pytest.raises(CipherError) as caught:
        choose(spec, bits)
    assert spec in str(caught.value)
    assert str(bits) in str(caught.value)


@pytest.mark.parametrize(
    ("cipher", "bits", "chosen"),
    [
        ("", 0, ("aes-xts-plain64", 512)),
        ("", 256, ("aes-xts-plain64", 256)),
        ("aes-xts-plain", 0, ("aes-xts-plain", 512)),
        ("aes-cbc-plain64", 0, ("aes-cbc-plain64", 256)),
        ("aes-cbc-essiv:sha256", 128, ("aes-cbc-essiv:sha256", 128)),
        ("aes", 0, ("aes-cbc-plain", 256)),
    ],
)
def test_defaults_stand_in_for_what_was_not_asked_for(cipher: str, bits: int, chosen: tuple[str, int]) -> None:
    spec, found = choose(cipher, bits)
    assert (spec.render(), found) == chosen


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet="aesxtcbplin64v-:" + string.digits, max_size=24),
        st.lists(st.sampled_from(["aes", "xts", "cbc", "plain", "plain64", "essiv", "sha256", "-", ":"])).map(
            "".join
        ),
    )
)
def test_any_text_is_a_known_specification_or_refused_in_one_printable_line(text: str) -> None:
    try:
        parsed = parse_cipher_spec(text)
    except CipherError as error:
        shown = str(error)
    else:
        shown = parsed.render()
        assert shown in _KNOWN
        assert parse_cipher_spec(shown) == parsed
    assert shown.isprintable()
