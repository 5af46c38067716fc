"""New UUIDs use every character of lvm2's alphabet, and no more randomness decides one than another."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from cryptlv.environment import Environment
from cryptlv.names import UUID_ALPHABET, parse_uuid


def make(*chunks: bytes) -> Environment:
    source = itertools.chain.from_iterable(chunks)
    return Environment(
        now=0, random_bytes=lambda n: bytes(itertools.islice(source, n)), monotonic=lambda: 0.0, hostname="h"
    )


def test_bytes_that_would_favour_some_characters_are_left_out() -> None:
    env = make(bytes(range(248, 256)) * 8, bytes(range(64)))
    assert parse_uuid(env.new_uuid()) == UUID_ALPHABET[:32]


def test_every_character_is_drawn_evenly() -> None:
    source = random.Random(1)
    env = make().replace(random_bytes=source.randbytes)
    count = Counter("".join(parse_uuid(env.new_uuid()) for _ in range(3100)))
    assert set(count) == set(UUID_ALPHABET)
    assert max(count.values()) < 1.2 * min(count.values()), "1600 each, give or take 40"
