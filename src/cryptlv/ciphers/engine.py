"""The seam between whoever has sectors to encrypt and whatever does it fastest here."""

from __future__ import annotations

from cryptlv.ciphers.spec import check_key_bits, parse_cipher_spec
from cryptlv.errors import CipherError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from cryptlv.secret import VolumeKey

    class SectorCipher(Protocol):
        """Encrypts and decrypts whole sectors in place. All methods may be called from several threads at once."""

        @property
        def sector_size(self) -> int:
            """Bytes encrypted under one IV."""

        def encrypt(self, buffer: bytearray | memoryview, first_sector: int) -> None:
            """Encrypt a writable buffer of whole sectors; `first_sector` is the IV number of the first, the volume's
            IV offset included. IV numbers count 512-byte sectors, as dm-crypt's do."""

        def decrypt(self, buffer: bytearray | memoryview, first_sector: int) -> None:
            """The inverse of `encrypt`."""

        def close(self) -> None:
            """Forget the key."""


SECTOR_SIZES = (512, 1024, 2048, 4096)


def open_sector_cipher(
    spec: str, key: VolumeKey, sector_size: int = 512, *, iv_large_sectors: bool = False
) -> SectorCipher:
    """The sector cipher for a dm-crypt specification and key; raises CipherError.

    With `iv_large_sectors` the IV number grows by one a sector of `sector_size`, otherwise by one for each 512 bytes.
    """
    parsed = parse_cipher_spec(spec)
    check_key_bits(parsed, len(key) * 8)
    if sector_size not in SECTOR_SIZES:
        raise CipherError(f"sector size {sector_size} is not one of {', '.join(map(str, SECTOR_SIZES))}")
    try:
        from cryptlv.ciphers.bulk import BulkCipher
    except ModuleNotFoundError as error:
        raise CipherError(
            f"encrypted volumes need the Python package {error.name}: pip install 'cryptlv[crypto]'"
        ) from None
    return BulkCipher(parsed, key, sector_size, iv_large_sectors=iv_large_sectors)
