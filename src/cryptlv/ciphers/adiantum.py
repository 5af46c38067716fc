"""Adiantum with XChaCha12 or XChaCha20 and AES-256, in numpy, many sectors at once.

Source: Crowley and Biggers, "Adiantum: length-preserving encryption for entry-level processors" (2018), section 3,
with the tweak of 32 bytes of the kernel's crypto/adiantum.c. ChaCha and Poly1305 are those of RFC 8439, HChaCha that
of draft-irtf-cfrg-xchacha.
"""

from __future__ import annotations

import numpy as np

from cryptlv.ciphers.ecb import open_ecb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryptlv.ciphers.ecb import Blocks

    Words = NDArray[np.uint32]

_CONSTANTS = np.frombuffer(b"expand 32-byte k", dtype=np.uint32)
_AES_KEY_BYTES = 32
_NH_UNIT_BYTES = 1024
_NH_PASSES = 4
_NH_KEY_BYTES = _NH_UNIT_BYTES + 16 * (_NH_PASSES - 1)
_PRIME = 2**130 - 5
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
_2_TO_128 = 2**128
_BY_ONE, _BY_TWO, _BY_THREE = [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]


class Adiantum:
    """See `cryptlv.ciphers.bulk.Mode`."""

    def __init__(self, cipher: str, key: memoryview) -> None:
        """`cipher` is `xchacha12,aes` or `xchacha20,aes`, the key has 32 bytes. Raises CipherError."""
        self._rounds = int(cipher[len("xchacha") :].partition(",")[0])
        self._key = np.frombuffer(key, dtype=np.uint32).copy()
        nonce = np.array([[1, 0, 0, 0, 0, 0]], dtype=np.uint32)
        derived = self._stream(nonce, _AES_KEY_BYTES + 2 * 16 + _NH_KEY_BYTES)[0]
        self._aes = open_ecb("aes", memoryview(derived[:_AES_KEY_BYTES]))
        self._tweak_key, self._message_key = (
            int.from_bytes(derived[start : start + 16].tobytes(), "little") & _CLAMP for start in (32, 48)
        )
        self._nh_key = derived[64:].view(np.uint32).copy()

    def run(self, sectors: Blocks, ivs: Blocks, *, encrypt: bool) -> None:
        """See `cryptlv.ciphers.bulk.Mode`. The IV is the tweak's first half, the second is zeros."""
        size = sectors.shape[1] * 16
        data = sectors.reshape(len(sectors), -1).view(np.uint8)
        bulk, last = data[:, : size - 16], data[:, size - 16 :]
        tweaks = [self._tweak_hash(bytes(iv), size - 16) for iv in ivs]
        middle = _add(last, self._hashes(bulk, tweaks), 1)
        if encrypt:
            middle = self._aes.encrypt(middle)
        nonces = np.zeros((len(data), 6), dtype=np.uint32)
        nonces[:, :4] = middle.view(np.uint32)
        nonces[:, 4] = 1
        bulk ^= self._stream(nonces, size - 16)
        if not encrypt:
            middle = self._aes.decrypt(middle)
        last[:] = _add(middle.view(np.uint8), self._hashes(bulk, tweaks), -1).view(np.uint8)

    def _stream(self, nonces: Words, length: int) -> NDArray[np.uint8]:
        """XChaCha's key stream for each nonce of 24 bytes, as (nonces, length)."""
        start = np.empty((16, len(nonces)), dtype=np.uint32)
        start[:4], start[4:12], start[12:] = _CONSTANTS[:, None], self._key[:, None], nonces[:, :4].T
        mixed = _rounds(start, self._rounds)
        blocks = -(-length // 64)
        state = np.zeros((16, len(nonces), blocks), dtype=np.uint32)
        state[:4] = _CONSTANTS[:, None, None]
        state[4:8], state[8:12] = mixed[:4, :, None], mixed[12:, :, None]
        state[12] = np.arange(blocks)
        state[14:] = nonces[:, 4:].T[:, :, None]
        out = _rounds(state, self._rounds) + state
        return np.ascontiguousarray(np.moveaxis(out, 0, 2)).view(np.uint8).reshape(len(nonces), -1)[:, :length]

    def _tweak_hash(self, iv: bytes, length: int) -> int:
        tweak = (length * 8).to_bytes(16, "little") + iv.ljust(32, b"\0")
        return _poly1305(self._tweak_key, tweak)

    def _hashes(self, bulk: NDArray[np.uint8], tweaks: list[int]) -> list[int]:
        """The hash of each sector's bulk, with that of its tweak added."""
        units = [
            self._nh(bulk[:, start : start + _NH_UNIT_BYTES]) for start in range(0, bulk.shape[1], _NH_UNIT_BYTES)
        ]
        messages = np.concatenate(units, axis=1).view(np.uint8)
        return [
            tweak + _poly1305(self._message_key, message.tobytes())
            for tweak, message in zip(tweaks, messages, strict=True)
        ]

    def _nh(self, part: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """NH of up to 1024 bytes of each sector: four sums of products of pairs of words, as (sectors, 4)."""
        words = np.ascontiguousarray(part).view(np.uint32)
        sums = np.empty((len(words), _NH_PASSES), dtype=np.uint64)
        for number in range(_NH_PASSES):
            mixed = words + self._nh_key[4 * number : 4 * number + words.shape[1]]
            quads = mixed.reshape(len(words), -1, 2, 2).astype(np.uint64)
            sums[:, number] = (quads[:, :, 0] * quads[:, :, 1]).sum(axis=(1, 2), dtype=np.uint64)
        return sums


def _rounds(state: Words, rounds: int) -> Words:
    """ChaCha's rounds over 16 rows of words."""
    a, b, c, d = (state[start : start + 4].copy() for start in (0, 4, 8, 12))
    for _ in range(rounds // 2):
        _quarter(a, b, c, d)
        b, c, d = b[_BY_ONE], c[_BY_TWO], d[_BY_THREE]  # the diagonals as columns
        _quarter(a, b, c, d)
        b, c, d = b[_BY_THREE], c[_BY_TWO], d[_BY_ONE]
    return np.concatenate((a, b, c, d))


def _quarter(a: Words, b: Words, c: Words, d: Words) -> None:
    _step(a, b, d, 16)
    _step(c, d, b, 12)
    _step(a, b, d, 8)
    _step(c, d, b, 7)


def _step(one: Words, other: Words, target: Words, bits: int) -> None:
    one += other
    target ^= one
    low = target >> np.uint32(32 - bits)
    target <<= np.uint32(bits)
    target |= low


def _poly1305(key: int, message: bytes) -> int:
    """Poly1305 of whole blocks, without the addend, as a number below 2^128."""
    total = 0
    for start in range(0, len(message), 16):
        total = (total + int.from_bytes(message[start : start + 16], "little") + _2_TO_128) * key % _PRIME
    return total % _2_TO_128


def _add(blocks: NDArray[np.uint8], numbers: list[int], sign: int) -> Blocks:
    """Each block plus or minus a number modulo 2^128, in little endian, as (blocks, 2 words)."""
    sums = b"".join(
        ((int.from_bytes(block.tobytes(), "little") + sign * number) % _2_TO_128).to_bytes(16, "little")
        for block, number in zip(blocks, numbers, strict=True)
    )
    return np.frombuffer(sums, dtype=np.uint64).reshape(-1, 2)
