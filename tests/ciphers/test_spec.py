"""dm-crypt's cipher specifications: what is known, what is refused by name, and the defaults."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.spec import CipherSpec, check_key_bits, choose, parse_cipher_spec
from cryptlv.errors import CipherError
from support.dmcrypt import kernel_cases

_KNOWN = {
    "aes-xts-plain": (256, 384, 512),
    "aes-xts-plain64be": (256, 384, 512),
    "aes-xts-essiv:sha256": (256, 384, 512),
    "serpent-xts-plain64": (256, 384, 512),
    "twofish-xts-eboiv": (256, 512),
    "aes-cbc-plain": (128, 192, 256),
    "camellia-cbc-essiv:md5": (128, 192, 256),
    "aes-cbc-essiv:sha3-256": (128, 192, 256),
    "twofish-ctr-benbi": (128, 256),
    "aes-ecb": (128, 192, 256),
    "serpent-lrw-benbi": (256, 320, 384),
    "twofish-lrw-plain64": (256, 384),
    "xchacha12,aes-adiantum-plain64": (256,),
    "xchacha20,aes-adiantum-null": (256,),
}
_WORDS = [
    "aes", "serpent", "xts", "cbc", "ecb", "adiantum", "plain", "plain64", "essiv", "sha256", "-", ":", "(", ")", ",",
    "capi:", "xchacha12",
]  # fmt: skip


def _refused_here() -> list[tuple[str, int]]:
    """What the kernel has, or refused itself, and this program has not."""
    pairs = dict.fromkeys((case["spec"], case["key_bits"]) for case in kernel_cases())
    words = ("elephant", "tcw", "aes:64", "cfb", "ofb", "pcbc", "cts", "cast", "blowfish", "des3", "null-ecb", "sha1")
    return [pair for pair in pairs if any(word in pair[0] for word in (*words, "sha512"))]


@pytest.mark.parametrize(("spec", "bits"), _refused_here())
def test_what_the_kernel_has_and_this_program_not_is_refused_by_name(spec: str, bits: int) -> None:
    with pytest.raises(CipherError) as caught:
        choose(spec, bits)
    text = str(caught.value)
    assert spec in text
    assert "unknown" in text or "one key" in text or "gives a key of" in text
    assert "\n" not in text


def test_every_other_specification_and_key_size_of_the_kernel_is_known() -> None:
    refused = set(_refused_here())
    pairs = {(case["spec"], case["key_bits"]) for case in kernel_cases()} - refused
    assert (len(pairs), len(refused)) == (77, 30)
    for spec, bits in pairs:
        assert choose(spec, bits)[1] == bits


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
    assert parse_cipher_spec("aes-ecb") == CipherSpec(cipher="aes", mode="ecb", iv="")


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        ("aes:1-xts-plain64", "aes-xts-plain64"),
        ("serpent-ecb-null", "serpent-ecb"),
        ("aes-ecb-plain64", "aes-ecb"),
        ("capi:xts(aes)-plain64", "aes-xts-plain64"),
        ("capi:xts(ecb(aes-generic))-plain64", "aes-xts-plain64"),
        ("capi:lrw(ecb(serpent))-benbi", "serpent-lrw-benbi"),
        ("capi:cbc(aes)-essiv:sha256", "aes-cbc-essiv:sha256"),
        ("capi:cbc(aes)-essiv:sha3-256", "aes-cbc-essiv:sha3-256"),
        ("capi:essiv(cbc(aes),sha256)-plain64", "aes-cbc-essiv:sha256"),
        ("capi:ecb(twofish)", "twofish-ecb"),
        ("capi:ecb(twofish)-null", "twofish-ecb"),
        ("capi:adiantum(xchacha12,aes)-plain64", "xchacha12,aes-adiantum-plain64"),
    ],
)
def test_other_words_for_the_same_cipher(spec: str, same: str) -> None:
    assert parse_cipher_spec(spec).render() == same


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
        ("aes-cbc-essiv", "''"),
        ("aes-cbc-essiv:sha512", "sha512 gives a key of 512 bits"),
        ("serpent-cbc-essiv:sha1", "sha1 gives a key of 160 bits, but serpent takes 128, 192, 256"),
        ("aes-cbc-essiv:whirlpool", "'whirlpool'"),
        ("aes-ctr-eboiv", "'eboiv'"),
        ("aes-ecb-essiv:sha256", "'essiv'"),
        ("aes-cbc", "''"),
        ("aes(x)-cbc-plain64", "'aes(x)'"),
        ("xchacha12,aes-xts-plain64", "'xchacha12,aes'"),
        ("aes-adiantum-plain64", "'aes'"),
        ("xchacha12,aes-adiantum-essiv:sha256", "'essiv'"),
        ("xchacha8,aes-adiantum-plain64", "'xchacha8,aes'"),
        ("aes:2-cbc-plain64", "only one key is supported, not '2'"),
        ("capi:", "''"),
        ("capi:aes-plain64", "'aes' is not of the form"),
        ("capi:xts(aes", "'xts(aes' is not of the form"),
        ("capi:xts(aes)", "''"),
        ("capi:xts()-plain64", "''"),
        ("capi:gcm(aes)-random", "'gcm'"),
        ("capi:essiv(cbc(aes))-plain64", "essiv needs a hash and the IV plain64"),
        ("capi:essiv(essiv(cbc(aes),sha256),sha256)-plain64", "unknown mode 'essiv'"),
        ("capi:essiv(cbc(aes),sha256)-plain", "essiv needs a hash and the IV plain64"),
        ("capi:essiv(cbc(aes),sha256)-plain64:sha256", "essiv needs a hash and the IV plain64"),
        ("capi:essiv(,)-plain64", "essiv needs a hash"),
        ("capi:cbc(aes)-essiv:", "names no hash"),
        ("capi:xts(aes)-plain64:sha256", "takes no hash"),
        ("capi:" + "essiv(" * 5000 + ",a)" * 5000, "'capi:essiv(essiv(essiv(essiv(ess'... has 45005 characters"),
        ("aes-xts-plain64:sha256", "plain64"),
        ("aes-xts-plain64-more", "'plain64-more'"),
        (" aes-xts-plain64", "' aes'"),
        ("aes:64-cbc-plain64", "not '64'"),
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
        ("aes-xts-plain64", 192),
        ("twofish-xts-plain64", 384),
        ("twofish-cbc-plain64", 192),
        ("xchacha12,aes-adiantum-plain64", 512),
        ("aes-lrw-benbi", 128),
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
        ("aes-lrw-benbi", 0, ("aes-lrw-benbi", 384)),
        ("capi:xts(serpent)-plain64", 0, ("serpent-xts-plain64", 512)),
    ],
)
def test_defaults_stand_in_for_what_was_not_asked_for(cipher: str, bits: int, chosen: tuple[str, int]) -> None:
    spec, found = choose(cipher, bits)
    assert (spec.render(), found) == chosen


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet="aesxtcbplin64v-:()," + string.digits, max_size=24),
        st.lists(st.sampled_from(_WORDS)).map("".join),
    )
)
def test_any_text_is_a_known_specification_or_refused_in_one_printable_line(text: str) -> None:
    try:
        parsed = parse_cipher_spec(text)
    except CipherError as error:
        shown = str(error)
    else:
        shown = parsed.render()
        assert parse_cipher_spec(shown) == parsed
        assert parsed.key_bits
    assert shown.isprintable()
