"""IV plans: what each generator asks for; the bytes are in test_bulk.py and conformance/test_sector_ciphers.py."""

from __future__ import annotations

import pytest

from cryptlv.ciphers.iv import IvPlan, essiv_key, plan_iv
from cryptlv.ciphers.spec import parse_cipher_spec


@pytest.mark.parametrize(
    ("spec", "size", "large", "plan"),
    [
        ("aes-xts-plain64", 512, False, IvPlan(step=1, shift=0)),
        ("aes-xts-plain64", 4096, False, IvPlan(step=8, shift=0)),
        ("aes-xts-plain64", 4096, True, IvPlan(step=8, shift=3)),
        ("aes-xts-plain", 2048, True, IvPlan(step=4, shift=2, mask=0xFFFFFFFF)),
        ("aes-xts-plain64be", 512, False, IvPlan(step=1, shift=0, is_big_endian=True)),
        ("aes-lrw-benbi", 512, False, IvPlan(step=1, shift=0, factor=32, addend=1, is_big_endian=True)),
        ("aes-ctr-benbi", 512, False, IvPlan(step=1, shift=0, factor=512, addend=1, is_big_endian=True)),
        ("aes-cbc-eboiv", 1024, False, IvPlan(step=2, shift=0, factor=1024, is_encrypted=True)),
        ("aes-cbc-essiv:sha256", 512, False, IvPlan(step=1, shift=0)),
        ("aes-xts-null", 512, False, IvPlan(step=1, shift=0, mask=0)),
        ("aes-ecb", 512, False, IvPlan(step=1, shift=0, mask=0)),
    ],
)
def test_plans(spec: str, size: int, large: bool, plan: IvPlan) -> None:
    found = plan_iv(parse_cipher_spec(spec), size, iv_large_sectors=large)
    assert found == plan
    assert found.numbers == (plan.step, plan.shift, plan.factor, plan.addend, plan.mask)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # of b"abc": FIPS 180-4 and RFC 1321 A.5, FIPS 202's examples, RFC 7693 appendix B, GB/T 32905-2016 A.1
        ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("md5", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        ("blake2s-256", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
        ("sm3", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    ],
)
def test_essivs_key_is_the_hash_of_the_key(name: str, expected: str) -> None:
    spec = parse_cipher_spec(f"aes-cbc-essiv:{name}")
    assert essiv_key(spec, memoryview(b"abc")).hex() == expected
    assert len(essiv_key(spec, memoryview(bytes(32)))) in (16, 32)
