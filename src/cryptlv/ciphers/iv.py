"""How a sector's number becomes its IV: dm-crypt's IV generators (drivers/md/dm-crypt.c, "IV generation").

Most are one number, placed in 16 zero bytes. What remains is encryption: essiv's with a key of its own, eboiv's with
the cipher itself.
"""

from __future__ import annotations

import hashlib

from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ciphers.spec import CipherSpec

_ALL = 2**64 - 1
_HASHLIB_NAMES = {"rmd160": "ripemd160", "sha3-256": "sha3_256", "blake2s-256": "blake2s"}


class IvPlan(Record):
    """The number of sector i of a request that begins at 512-byte sector `first`, all modulo 2^64:
    ((first + i * step) >> shift) * factor + addend, and of that the bits of `mask`.

    It is the first eight bytes of the IV in little endian or the last eight in big endian. `is_encrypted`: the IV is
    what the cipher itself makes of a block of zeros with this IV.
    """

    step: int
    shift: int
    factor: int = 1
    addend: int = 0
    mask: int = _ALL
    is_big_endian: bool = False
    is_encrypted: bool = False

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """Step, shift, factor, addend, mask."""
        return self.step, self.shift, self.factor, self.addend, self.mask


def plan_iv(spec: CipherSpec, sector_size: int, *, iv_large_sectors: bool) -> IvPlan:
    """The plan for a specification; with `iv_large_sectors` numbers count sectors of `sector_size` bytes."""
    step = sector_size // 512
    plan = IvPlan(step=step, shift=step.bit_length() - 1 if iv_large_sectors else 0)
    if spec.iv == "plain":
        return plan.replace(mask=2**32 - 1)
    if spec.iv in ("", "null"):
        return plan.replace(mask=0)
    if spec.iv == "plain64be":
        return plan.replace(is_big_endian=True)
    if spec.iv == "benbi":  # the number of the sector's first block from 1 on; ctr has blocks of one byte
        return plan.replace(factor=512 if spec.mode == "ctr" else 512 // 16, addend=1, is_big_endian=True)
    if spec.iv == "eboiv":  # the sector's place in bytes, where its number is in sectors of this size
        return plan.replace(factor=sector_size, is_encrypted=True)
    return plan


def essiv_key(spec: CipherSpec, key: memoryview) -> bytes:
    """The key of the cipher that encrypts essiv's numbers: the hash of the volume's whole key."""
    name = _HASHLIB_NAMES.get(spec.iv_hash, spec.iv_hash)
    return hashlib.new(name, key, usedforsecurity=False).digest()
