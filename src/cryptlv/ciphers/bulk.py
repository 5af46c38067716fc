"""The sector engine in numpy: a few library calls for many sectors, instead of a call a sector.

XTS (IEEE 1619, NIST SP 800-38E): the tweaks of all sectors come from one ECB call; each further block's tweak is the
one before doubled in GF(2^128), done for all sectors at once; the blocks are xored with their tweaks, go through one
ECB call, and are xored again. CBC (SP 800-38A): decryption is one ECB call and an xor with the ciphertext shifted by
a block; encryption goes block by block, each step for all sectors at once. LRW and Adiantum have files of their own.
"""

from __future__ import annotations

import numpy as np

from cryptlv.ciphers.ecb import open_ecb
from cryptlv.ciphers.iv import essiv_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from cryptlv.ciphers.ecb import Blocks, Ecb
    from cryptlv.ciphers.iv import IvPlan
    from cryptlv.ciphers.spec import CipherSpec

    class Mode(Protocol):
        """A mode under one key. `run` changes an array of (sectors, blocks, 2 words) in place, given the sectors' IVs
        as (sectors, 2 words)."""

        def run(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None: ...


_BLOCK = 16
_SLICE_BYTES = 64 * 1024
"""Work on this much at a time: it stays in the processor's cache."""
_ALL = 2**64 - 1


class BulkWorker:
    """See `cryptlv.ciphers.engine.Worker`."""

    def __init__(self, spec: CipherSpec, key: memoryview, sector_size: int, plan: IvPlan) -> None:
        """Raises CipherError when the block cipher cannot be had here."""
        self._sector_size = sector_size
        self._plan = plan
        self._mode = _open_mode(spec, key)
        self._essiv = open_ecb(spec.cipher, memoryview(essiv_key(spec, key))) if spec.iv == "essiv" else None

    def encrypt(self, buffer: bytearray | memoryview, first_sector: int, /) -> None:
        """See `SectorCipher.encrypt`."""
        self._slices(buffer, first_sector, encrypt=True)

    def decrypt(self, buffer: bytearray | memoryview, first_sector: int, /) -> None:
        """See `SectorCipher.decrypt`."""
        self._slices(buffer, first_sector, encrypt=False)

    def _slices(self, buffer: bytearray | memoryview, first_sector: int, *, encrypt: bool) -> None:
        if len(buffer) % self._sector_size:
            raise ValueError(f"{len(buffer)} bytes are not whole sectors of {self._sector_size}")
        whole = np.frombuffer(buffer, dtype=np.uint64).reshape(-1, self._sector_size // _BLOCK, 2)
        per_slice = max(_SLICE_BYTES // self._sector_size, 1)
        for start in range(0, len(whole), per_slice):
            part = whole[start : start + per_slice]
            ivs = make_ivs(self._plan, first_sector + start * self._plan.step, len(part))
            if self._plan.is_encrypted:
                zeros = np.zeros((len(part), 1, 2), dtype=np.uint64)
                self._mode.run(zeros, ivs, encrypt=True)
                ivs = zeros[:, 0]
            elif self._essiv is not None:
                ivs = self._essiv.encrypt(ivs)
            self._mode.run(part, ivs, encrypt=encrypt)


def make_ivs(plan: IvPlan, first_sector: int, count: int) -> Blocks:
    """The IVs of so many sectors from one on, before any encryption, as (sectors, 2 words)."""
    ivs = np.zeros((count, 2), dtype=np.uint64)
    numbers = np.arange(count, dtype=np.uint64) * np.uint64(plan.step) + np.uint64(first_sector & _ALL)
    numbers >>= np.uint64(plan.shift)
    numbers *= np.uint64(plan.factor)
    numbers += np.uint64(plan.addend)
    numbers &= np.uint64(plan.mask)
    ivs[:, int(plan.is_big_endian)] = numbers.byteswap() if plan.is_big_endian else numbers
    return ivs


def _open_mode(spec: CipherSpec, key: memoryview) -> Mode:
    if spec.mode == "xts":
        return _Xts(spec.cipher, key)
    if spec.mode == "cbc":
        return _Cbc(open_ecb(spec.cipher, key))
    if spec.mode == "ctr":
        return _Ctr(open_ecb(spec.cipher, key))
    if spec.mode == "lrw":
        from cryptlv.ciphers.lrw import Lrw

        return Lrw(spec.cipher, key)
    if spec.mode == "adiantum":
        from cryptlv.ciphers.adiantum import Adiantum

        return Adiantum(spec.cipher, key)
    return _EcbMode(open_ecb(spec.cipher, key))


class _EcbMode:
    def __init__(self, ecb: Ecb) -> None:
        self._ecb = ecb

    def run(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        sectors[:] = self._ecb.encrypt(sectors) if encrypt else self._ecb.decrypt(sectors)


class _Xts:
    def __init__(self, cipher: str, key: memoryview) -> None:
        half = len(key) // 2
        with key[:half] as first, key[half:] as second:
            self._data, self._tweak = open_ecb(cipher, first), open_ecb(cipher, second)

    def run(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        tweaks = _all_tweaks(self._tweak.encrypt(ivs), sectors.shape[1])
        mixed = sectors ^ tweaks
        mixed = self._data.encrypt(mixed) if encrypt else self._data.decrypt(mixed)
        np.bitwise_xor(mixed, tweaks, out=sectors)


class _Cbc:
    def __init__(self, ecb: Ecb) -> None:
        self._ecb = ecb

    def run(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        if encrypt:
            previous = ivs
            for block in range(sectors.shape[1]):
                previous = self._ecb.encrypt(sectors[:, block] ^ previous)
                sectors[:, block] = previous
            return
        plain = self._ecb.decrypt(sectors)
        plain[:, 1:] ^= sectors[:, :-1]
        plain[:, 0] ^= ivs
        sectors[:] = plain


class _Ctr:
    def __init__(self, ecb: Ecb) -> None:
        self._ecb = ecb

    def run(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        sectors ^= self._ecb.encrypt(count_up(ivs, sectors.shape[1]).byteswap())


def count_up(ivs: Blocks, blocks: int) -> Blocks:
    """Each IV as a number of 128 bits in big endian, and the numbers after it modulo 2^128, as (sectors, blocks, 2
    words in this machine's order, the high one first)."""
    numbers = np.empty((len(ivs), blocks, 2), dtype=np.uint64)
    high, low = ivs[:, :1].byteswap(), ivs[:, 1:].byteswap()
    numbers[..., 1] = low + np.arange(blocks, dtype=np.uint64)
    numbers[..., 0] = high + (numbers[..., 1] < low)
    return numbers


def _all_tweaks(first: Blocks, blocks: int) -> Blocks:
    """The tweak of every block of every sector: each is the one before times x in GF(2^128), little endian.

    Doubling goes by powers of two blocks at once (tweak[i + k] = tweak[i] * x^k), so a sector of n blocks takes some
    log2(n) steps over all sectors. Low and high words are kept apart, as numpy is fast on what lies together.
    """
    low = np.empty((blocks, len(first)), dtype=np.uint64)
    high = np.empty_like(low)
    low[0], high[0] = first[:, 0], first[:, 1]
    done = 1
    while done < blocks:
        count = min(done, blocks - done)
        _times_x_power(low[:count], high[:count], done, low[done : done + count], high[done : done + count])
        done += count
    tweaks = np.empty((len(first), blocks, 2), dtype=np.uint64)
    tweaks[..., 0], tweaks[..., 1] = low.T, high.T
    return tweaks


def _times_x_power(low: Blocks, high: Blocks, power: int, new_low: Blocks, new_high: Blocks) -> None:
    """(low, high) times x^power into (new_low, new_high), where x^128 is x^7 + x^2 + x + 1.

    At most 32 bits at a time: those pushed out, times that polynomial, then still fit into the low word.
    """
    while power:
        bits = min(power, 32)
        power -= bits
        up, down = np.uint64(bits), np.uint64(64 - bits)
        carry = high >> down
        shifted = high << up
        shifted |= low >> down
        np.left_shift(low, up, out=new_low)
        new_low ^= carry
        for tap in (1, 2, 7):
            new_low ^= carry << np.uint64(tap)
        new_high[:] = shifted
        low, high = new_low, new_high
