"""What the fuzzers do with key headers: checksums put right, read as the handlers do, unlocked where that is cheap.

Only CryptlvError is caught: whatever else comes out is a bug, as is an error that is not one line.
"""

from __future__ import annotations

import json
import lzma
import struct
from hashlib import sha256
from pathlib import Path

from cryptlv.ciphers.kdf import KdfParameters, check_cost
from cryptlv.environment import Environment
from cryptlv.errors import CipherError, CryptlvError
from cryptlv.keys import luks1, luks1_header, luks2, luks2_header
from cryptlv.keys.handler import KeystoreAttributes
from cryptlv.secret import Passphrase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.keys.handler import KeyHandler

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "luks"
ENV = Environment(now=0, random_bytes=lambda size: (b"random" * (size // 6 + 1))[:size], monotonic=float, hostname="")
HEAD_BYTES = 512
COPY_BYTES = 0x4000
MATERIAL = b"".join(sha256(number.to_bytes(4, "big")).digest() for number in range(16_384))
"""What looks like key material, 512 KiB of it."""
_CHEAP = 4096
"""Derivations of up to that much work are done, the dearer ones only looked at."""


def one_luks1(data: bytes) -> None:
    """A LUKS1 header, its marks behind it."""
    image = b"LUKS\xba\xbe\0\1" + data[8:4096].ljust(4096 - 8, b"\0") + MATERIAL
    try:
        header = luks1_header.decode_header(image)
    except CryptlvError as error:
        _is_one_line(error)
        return
    assert len(luks1_header.decode_marks(image, header)) == 8
    again = luks1_header.decode_header(luks1_header.encode_header(header) + image[592:])
    assert again == header
    digest = KdfParameters(kind="pbkdf2", iterations=header.digest_iterations, key_hash=header.hash_name)
    slots = [digest.replace(iterations=slot.iterations) for slot in header.keyslots if slot.active]
    _use(luks1.Luks1Handler(), image, (digest, *slots))


def one_luks2(data: bytes) -> None:
    """The first 512 bytes of a LUKS2 header and its JSON text, in one copy or two."""
    head, text = data[:HEAD_BYTES].ljust(HEAD_BYTES, b"\0"), data[HEAD_BYTES : HEAD_BYTES + COPY_BYTES - 4096]
    image = b""
    for which, magic in enumerate((b"LUKS\xba\xbe\0\2", b"SKUL\xba\xbe\0\2")):
        copy = bytearray(magic + head[8:]).ljust(4096, b"\0") + text.ljust(COPY_BYTES - 4096, b"\0")
        if head[5] & (1 << which):  # a byte of the magic says which copies are to have a good size and place
            copy[8:16] = struct.pack(">Q", COPY_BYTES)
            copy[72:104] = b"sha256".ljust(32, b"\0")
            copy[256:264] = struct.pack(">Q", which * COPY_BYTES)
        copy[448:512] = bytes(64)
        copy[448:480] = sha256(copy).digest()
        image += copy
    image += MATERIAL
    try:
        header = luks2_header.decode_header(image)
    except CryptlvError as error:
        _is_one_line(error)
        return
    assert bool(header.remarks) == bool(header.mends)
    _check_mended(image, header)
    document = header.document
    kdfs = [slot.kdf for slot in document.keyslots if slot.kdf is not None]
    kdfs += [
        KdfParameters(kind="pbkdf2", iterations=digest.iterations, key_hash=digest.key_hash)
        for digest in document.digests
        if digest.kind == "pbkdf2"
    ]
    _use(luks2.Luks2Handler(), image, kdfs)
    for slot in document.keyslots:
        changed = bytearray(image)
        try:
            luks2.remove_key(changed, slot.number, ENV)
        except CryptlvError as error:
            _is_one_line(error)
        else:
            left = luks2_header.decode_header(bytes(changed)).document
            assert slot.number not in [other.number for other in left.keyslots]
            assert [token.number for token in left.tokens] == [token.number for token in document.tokens]


def _check_mended(image: bytes, header: luks2_header.Luks2Header) -> None:
    mended = bytearray(image)
    for offset, data in header.mends:
        mended[offset : offset + len(data)] = data
    again = luks2_header.decode_header(bytes(mended))
    assert again.remarks == ()
    assert again.copy.document == header.document
    both = luks2_header.encode_header(header.copy)
    assert luks2_header.decode_header(both + image[len(both) :]).document == header.document


def _use(handler: KeyHandler, image: bytes, kdfs: Iterable[KdfParameters]) -> None:
    """What an activation does with the image; keys are derived when all of it is cheap."""
    attributes = KeystoreAttributes(handler=handler.name)
    try:
        handler.parameters(attributes, image)
        for kdf in kdfs:
            check_cost(kdf)
            if kdf.work > _CHEAP:
                return
        handler.unlock(attributes, image, Passphrase(b"x")).close()
    except CryptlvError as error:
        _is_one_line(error)


def _is_one_line(error: CryptlvError) -> None:
    assert str(error).isprintable(), error
    assert len(str(error)) < 2000 or isinstance(error, CipherError), error


def key_seeds(kind: str) -> list[bytes]:
    """Inputs to begin with, made of what cryptsetup wrote: `luks1` or `luks2`; costs made small."""
    found = []
    for facts in json.loads((GOLDEN / "manifest.json").read_text()):
        if facts["format"] != kind:
            continue
        with lzma.open(GOLDEN / facts["files"][-1]["file"]) as file:
            image = file.read(0x10000)
        if kind == "luks1":
            found.append(image[:4096])
        else:
            text = image[4096 : int.from_bytes(image[8:16], "big")].rstrip(b"\0")
            found += [image[:5] + bytes([which]) + image[6:HEAD_BYTES] + text for which in (1, 2, 3)]
    return found
