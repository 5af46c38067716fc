"""LRW in numpy: the tweak of a block is the second key times the block's number in GF(2^128).

Source: Liskov, Rivest, Wagner, "Tweakable Block Ciphers" (2002), as in draft 4 of IEEE P1619; the kernel's
crypto/lrw.c says which bits are which: a block is one number of 128 bits in big endian, and x^128 is
x^7 + x^2 + x + 1. The number of a sector's first block is its IV.
"""

from __future__ import annotations

import numpy as np

from cryptlv.ciphers.bulk import count_up
from cryptlv.ciphers.ecb import open_ecb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ciphers.ecb import Blocks

_BLOCK = 16
_TOP, _ALL = 1 << 127, (1 << 128) - 1
_POLYNOMIAL = 0x87


class Lrw:
    """See `cryptlv.ciphers.bulk.Mode`."""

    def __init__(self, cipher: str, key: memoryview) -> None:
        """The last 16 bytes of the key are the second key. Raises CipherError."""
        with key[:-_BLOCK] as first, key[-_BLOCK:] as second:
            self._ecb = open_ecb(cipher, first)
            self._products = _products(int.from_bytes(second, "big"))

    def run(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        """See `cryptlv.ciphers.bulk.Mode`."""
        tweaks = self._tweaks(count_up(ivs, sectors.shape[1]))
        mixed = sectors ^ tweaks
        mixed = self._ecb.encrypt(mixed) if encrypt else self._ecb.decrypt(mixed)
        np.bitwise_xor(mixed, tweaks, out=sectors)

    def _tweaks(self, numbers: Blocks) -> Blocks:
        tweaks = np.zeros_like(numbers)
        for place in range(_BLOCK):
            byte = (numbers[..., 1 - place // 8] >> np.uint64(place % 8 * 8)) & np.uint64(255)
            tweaks ^= self._products[place][byte]
        return tweaks


def _products(key: int) -> Blocks:
    """The key times every byte at every of 16 places, the lowest first, as (16, 256, 2 words)."""
    products = np.zeros((_BLOCK, 256, 2), dtype=np.uint64)
    for bit in range(128):
        words = np.frombuffer(key.to_bytes(16, "big"), dtype=np.uint64)
        step = 1 << bit % 8
        products[bit // 8, step : 2 * step] = products[bit // 8, :step] ^ words
        key = (key << 1 & _ALL) ^ (_POLYNOMIAL if key & _TOP else 0)
    return products
