"""The numpy engine's own parts; that its bytes are right is in conformance/test_sector_ciphers.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.bulk import BulkWorker, count_up, make_ivs
from cryptlv.ciphers.iv import plan_iv
from cryptlv.ciphers.spec import parse_cipher_spec
from support.dmcrypt import TOP, plain_iv


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["plain", "plain64", "plain64be", "benbi", "null"]),
    first=st.one_of(st.integers(0, TOP - 1), st.integers(TOP - 40, TOP + 40)),
    size=st.sampled_from([512, 1024, 4096]),
    count=st.integers(0, 40),
    large=st.booleans(),
)
def test_ivs_are_those_of_the_definition(kind: str, first: int, size: int, count: int, large: bool) -> None:
    plan = plan_iv(parse_cipher_spec(f"aes-cbc-{kind}"), size, iv_large_sectors=large)
    per = size // 512
    numbers = [(first + place * per) % TOP // (per if large else 1) for place in range(count)]
    assert make_ivs(plan, first, count).tobytes() == b"".join(plain_iv(kind, number) for number in numbers)


@given(
    start=st.one_of(st.integers(0, 2**128 - 1), st.integers(2**64 - 9, 2**64), st.integers(2**128 - 9, 2**128 - 1))
)
def test_counting_up_carries_from_the_low_word_and_wraps(start: int) -> None:
    plan = plan_iv(parse_cipher_spec("aes-ctr-null"), 512, iv_large_sectors=False)
    ivs = make_ivs(plan, 0, 1)
    ivs.data.cast("B")[:] = start.to_bytes(16, "big")
    high_and_low = count_up(ivs, 8)[0]
    assert [int(high) << 64 | int(low) for high, low in high_and_low] == [(start + i) % 2**128 for i in range(8)]


def test_a_request_of_many_slices_equals_single_sectors() -> None:
    spec = parse_cipher_spec("aes-xts-plain64")
    key = memoryview(bytes(range(64)))
    worker = BulkWorker(spec, key, 1024, plan_iv(spec, 1024, iv_large_sectors=False))
    whole = bytearray(range(256)) * 4 * 200
    parts = bytearray(whole)
    worker.encrypt(whole, TOP - 100)
    with memoryview(parts) as view:
        for number in range(200):
            worker.encrypt(view[number * 1024 : (number + 1) * 1024], (TOP - 100 + 2 * number) % TOP)
    assert parts == whole


def test_half_a_sector_is_refused() -> None:
    spec = parse_cipher_spec("aes-ecb")
    worker = BulkWorker(spec, memoryview(bytes(16)), 4096, plan_iv(spec, 4096, iv_large_sectors=False))
    with pytest.raises(ValueError, match="2048 bytes are not whole sectors of 4096"):
        worker.decrypt(bytearray(2048), 0)
