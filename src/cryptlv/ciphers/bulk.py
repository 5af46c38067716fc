"""The sector engine in numpy over `cryptography`: a few library calls for many sectors, instead of a call a sector.

XTS (IEEE 1619, NIST SP 800-38E): the tweaks of all sectors come from one ECB call; each further block's tweak is the
one before doubled in GF(2^128), done for all sectors at once; the blocks are xored with their tweaks, go through one
ECB call, and are xored again. CBC (SP 800-38A): decryption is one ECB call and an xor with the ciphertext shifted by
a block; encryption goes block by block, each step for all sectors at once. The IVs are dm-crypt's plain, plain64 and
essiv (drivers/md/dm-crypt.c).
"""

from __future__ import annotations

import hashlib
import threading

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers import CipherContext
    from numpy.typing import NDArray

    from cryptlv.ciphers.spec import CipherSpec
    from cryptlv.secret import VolumeKey

    Blocks = NDArray[np.uint64]
    Ecb = Callable[[NDArray[np.uint64]], NDArray[np.uint64]]

_BLOCK = 16
_SLICE_BYTES = 64 * 1024
"""Work on this much at a time: it stays in the processor's cache."""


class _Ecb(threading.local):
    """The block cipher under one key, in both directions, a context for each thread (contexts are not shared)."""

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - the building block of the modes here
        self._encryptor: CipherContext = cipher.encryptor()
        self._decryptor: CipherContext = cipher.decryptor()

    def encrypt(self, blocks: Blocks) -> Blocks:
        return _through(self._encryptor, blocks)

    def decrypt(self, blocks: Blocks) -> Blocks:
        return _through(self._decryptor, blocks)


def _through(context: CipherContext, blocks: Blocks) -> Blocks:
    """All blocks through ECB; raises what `cryptography` raises."""
    data = np.ascontiguousarray(blocks)
    out = np.empty(data.size * 8 + _BLOCK - 1, dtype=np.uint8)
    context.update_into(data.data.cast("B"), out.data)
    return out[: data.size * 8].view(np.uint64).reshape(blocks.shape)


class BulkCipher:
    """See `cryptlv.ciphers.engine.SectorCipher`."""

    def __init__(self, spec: CipherSpec, key: VolumeKey, sector_size: int, *, iv_large_sectors: bool) -> None:
        self._sector_size = sector_size
        self._iv_step = 1 if iv_large_sectors else sector_size // 512
        self._iv_divisor = sector_size // 512 if iv_large_sectors else 1
        with key.reveal() as view:
            self._open(spec, view)

    def _open(self, spec: CipherSpec, key: memoryview) -> None:
        iv_key: bytes | None = None
        if spec.mode == "xts":
            half = len(key) // 2
            self._data = _Ecb(bytes(key[:half]))
            self._tweak = _Ecb(bytes(key[half:]))
        else:
            self._data = _Ecb(bytes(key))
            if spec.iv == "essiv":
                iv_key = hashlib.new(spec.iv_hash, key).digest()
        self._essiv = _Ecb(iv_key) if iv_key is not None else None
        self._narrow = spec.iv == "plain"
        self._run = self._xts if spec.mode == "xts" else self._cbc

    @property
    def sector_size(self) -> int:
        return self._sector_size

    def encrypt(self, buffer: bytearray | memoryview, first_sector: int) -> None:
        self._slices(buffer, first_sector, encrypt=True)

    def decrypt(self, buffer: bytearray | memoryview, first_sector: int) -> None:
        self._slices(buffer, first_sector, encrypt=False)

    def close(self) -> None:
        for name in ("_data", "_essiv", "_run", "_tweak"):
            if hasattr(self, name):
                delattr(self, name)

    def _slices(self, buffer: bytearray | memoryview, first_sector: int, *, encrypt: bool) -> None:
        if len(buffer) % self._sector_size:
            raise ValueError(f"{len(buffer)} bytes are not whole sectors of {self._sector_size}")
        whole = np.frombuffer(buffer, dtype=np.uint64).reshape(-1, self._sector_size // _BLOCK, 2)
        per_slice = max(_SLICE_BYTES // self._sector_size, 1)
        for start in range(0, len(whole), per_slice):
            part = whole[start : start + per_slice]
            self._run(part, self._ivs(first_sector, start, len(part)), encrypt=encrypt)

    def _ivs(self, first_sector: int, skip: int, count: int) -> Blocks:
        """The IVs of `count` sectors from the one `skip` sectors behind the first, as blocks."""
        start = (first_sector // self._iv_divisor + skip * self._iv_step) & 0xFFFFFFFFFFFFFFFF
        ivs = np.zeros((count, 2), dtype=np.uint64)
        numbers = np.arange(count, dtype=np.uint64) * np.uint64(self._iv_step) + np.uint64(start)
        ivs[:, 0] = numbers & np.uint64(0xFFFFFFFF) if self._narrow else numbers
        return ivs if self._essiv is None else self._essiv.encrypt(ivs)

    def _xts(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        tweaks = _all_tweaks(self._tweak.encrypt(ivs), sectors.shape[1])
        mixed = sectors ^ tweaks
        mixed = self._data.encrypt(mixed) if encrypt else self._data.decrypt(mixed)
        np.bitwise_xor(mixed, tweaks, out=sectors)

    def _cbc(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        if encrypt:
            previous = ivs
            for block in range(sectors.shape[1]):
                previous = self._data.encrypt(sectors[:, block] ^ previous)
                sectors[:, block] = previous
            return
        plain = self._data.decrypt(sectors)
        plain[:, 1:] ^= sectors[:, :-1]
        plain[:, 0] ^= ivs
        sectors[:] = plain


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
