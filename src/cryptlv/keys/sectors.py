"""What keystores without a header say of the sectors of their volumes: `sector_size` (bytes) and `iv_large_sectors`.

They stand in the metadata, as key and value of the keystore's segment, where they are not dm-crypt's defaults:
sectors of 512 bytes, and IVs that count units of 512 bytes whatever the sectors' size (the kernel's
Documentation/admin-guide/device-mapper/dm-crypt.rst; `cryptsetup open --type plain` with --sector-size and
--iv-large-sectors).
"""

from __future__ import annotations

from cryptlv.ciphers.spec import SECTOR_SIZES
from cryptlv.errors import CipherError, KeystoreError
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest

_SIZE, _LARGE = "sector_size", "iv_large_sectors"


def check_sector_size(request: KeystoreRequest) -> int:
    """The sector size that is asked for; raises CipherError for one that there is not, or that extents do not
    hold."""
    size = request.sector_size or SECTOR_SIZES[0]
    if size not in SECTOR_SIZES:
        raise CipherError(f"sector size {size} is not one of {', '.join(map(str, SECTOR_SIZES))}")
    if request.unit_bytes % size:
        raise CipherError(f"sectors of {size} bytes do not fit into extents of {request.unit_bytes}")
    return size


def sector_extra(request: KeystoreRequest) -> tuple[tuple[str, int | str], ...]:
    """What is to stand in the metadata; raises CipherError."""
    size = check_sector_size(request)
    if request.has_large_ivs and size == SECTOR_SIZES[0]:
        raise CipherError("--iv-large-sectors needs a --sector-size that is larger than 512")
    extra: tuple[tuple[str, int | str], ...] = ()
    if size != SECTOR_SIZES[0]:
        extra = ((_SIZE, size),)
    return (*extra, (_LARGE, 1)) if request.has_large_ivs else extra


def sectors_of(attributes: KeystoreAttributes) -> tuple[int, bool]:
    """Sector size in bytes, and whether IVs count sectors of that size; raises KeystoreError for other values."""
    said = dict(attributes.extra)
    size, large = said.get(_SIZE, SECTOR_SIZES[0]), said.get(_LARGE, 0)
    if size not in SECTOR_SIZES:
        raise KeystoreError(f"the metadata says {_SIZE} = {printable(str(size))}, which no cipher has")
    if large not in (0, 1):
        raise KeystoreError(f"the metadata says {_LARGE} = {printable(str(large))}, which is neither 0 nor 1")
    return int(size), large == 1
