"""A block cipher over arrays of blocks, the building block of the modes in numpy."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cryptlv.errors import CipherError
from cryptlv.libraries import LIBRARIES, find_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from numpy.typing import NDArray

    Blocks = NDArray[np.uint64]
    """Blocks of 16 bytes as pairs of 64-bit words in little endian: the last axis has two."""

    class Ecb(Protocol):
        """A block cipher under one key, for one thread at a time. Neither method changes what it is given."""

        def encrypt(self, blocks: Blocks) -> Blocks: ...
        def decrypt(self, blocks: Blocks) -> Blocks: ...


_BLOCK = 16


def open_ecb(cipher: str, key: memoryview) -> Ecb:
    """AES from `cryptography`, other ciphers from a shared library; raises CipherError."""
    if cipher == "aes":
        return _Aes(key)
    reasons = []
    for name in LIBRARIES:
        try:
            return _OfLibrary(name, cipher, key)
        except CipherError as error:
            reasons.append(str(error))
    raise CipherError(f"cipher {cipher} cannot be had here: {'; '.join(reasons)}")


class _Aes:
    def __init__(self, key: memoryview) -> None:
        copy = bytearray(key)
        cipher = Cipher(algorithms.AES(copy), modes.ECB())  # noqa: S305 - the building block of the modes here
        self._encryptor, self._decryptor = cipher.encryptor(), cipher.decryptor()
        copy[:] = bytes(len(copy))

    def encrypt(self, blocks: Blocks) -> Blocks:
        return self._through(blocks, self._encryptor.update_into)

    def decrypt(self, blocks: Blocks) -> Blocks:
        return self._through(blocks, self._decryptor.update_into)

    @staticmethod
    def _through(blocks: Blocks, update_into: Callable[[memoryview, memoryview], int]) -> Blocks:
        data = np.ascontiguousarray(blocks)
        out = np.empty(data.size * 8 + _BLOCK - 1, dtype=np.uint8)
        update_into(data.data.cast("B"), out.data)
        return out[: data.size * 8].view(np.uint64).reshape(blocks.shape)


class _OfLibrary:
    def __init__(self, library: str, cipher: str, key: memoryview) -> None:
        found = find_library(library)
        self._encryptor = found.open(cipher, "ecb", key, encrypts=True)
        self._decryptor = found.open(cipher, "ecb", key, encrypts=False)

    def encrypt(self, blocks: Blocks) -> Blocks:
        return self._through(blocks, self._encryptor.process)

    def decrypt(self, blocks: Blocks) -> Blocks:
        return self._through(blocks, self._decryptor.process)

    @staticmethod
    def _through(blocks: Blocks, process: Callable[[memoryview], None]) -> Blocks:
        out = np.array(blocks, order="C")
        process(out.data.cast("B"))
        return out
