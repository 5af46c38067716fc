"""The luks2 handler: the keystore's extents are a LUKS2 header (LUKS2 On-Disk Format Specification 1.1.1).

A header made here is detached: its data segment begins at byte 0 of whatever it is used with (`cryptsetup open
--header`). It has as many keyslots as LUKS1, or more where the last extent leaves room, and a token "cryptlv" with
marks of the key material (keys/material.py) that other programs keep and ignore.
"""

from __future__ import annotations

import binascii
from hmac import compare_digest

from cryptlv.ciphers.argon2 import (
    DEFAULT_LANES,
    DEFAULT_MEMORY_KIB,
    MAX_NEW_LANES,
    MIN_MEMORY_KIB,
    MIN_PASSES,
    choose_cost,
)
from cryptlv.ciphers.kdf import (
    KDFS,
    MAX_MEMORY_KIB,
    MAX_WORK,
    MIN_ITERATIONS,
    PBKDF2,
    KdfParameters,
    check_cost,
    check_hash,
    digest_bytes,
    iterations_for,
    pbkdf2,
    pbkdf2_iterations_per_second,
)
from cryptlv.ciphers.spec import SECTOR_SIZES, check_key_bits, choose, parse_cipher_spec
from cryptlv.errors import CipherError, CredentialError, KeystoreError
from cryptlv.keys.handler import PASSPHRASE, CipherParameters, KeystoreDraft, check_agreement
from cryptlv.keys.luks1 import DIGEST_MS, check_count
from cryptlv.keys.luks2_header import HEADER_SIZES, changed_copy, decode_header, encode_header, new_copy
from cryptlv.keys.luks2_json import IGNORE, LUKS2, MAX_KEYSLOTS, MAX_TOKENS, PREFER, SALT_BYTES
from cryptlv.keys.material import derived_key, find_damage, mark, material_bytes, nothing_opened, seal, unseal
from cryptlv.keys.sectors import check_sector_size
from cryptlv.names import printable
from cryptlv.secret import VolumeKey
from cryptlv.units import round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.keys.luks2_header import Copy, Luks2Header
    from cryptlv.keys.luks2_json import Digest, Document, Keyslot, Segment
    from cryptlv.secret import Secret

DEFAULT_PBKDF = "argon2id"
DEFAULT_HASH = "sha256"
DEFAULT_KEYSLOTS = 8
_HEADER_SALT_BYTES = 64
_ALIGN_BYTES = 4096
_MOST_BY_DEFAULT = 16 * 1024 * 1024
"""The size of cryptsetup's own headers: a keystore that has more room is not filled further."""
_MAX_TOTAL_WORK = 4 * MAX_WORK
_LARGEST_IMAGE = 32 * 1024 * 1024
"""Room for a hundred keyslots, where there can be 32; keystores are read so far."""
_TOKEN = "cryptlv"  # noqa: S105 - a word in the header
_AREA_MODES = ("xts", "cbc")


class Luks2Handler:
    """See `cryptlv.keys.handler.KeyHandler`."""

    name = "luks2"
    credential_kind = PASSPHRASE

    def draft(self, request: KeystoreRequest) -> KeystoreDraft:
        spec, bits = choose(request.cipher, request.key_size_bits)
        if request.has_large_ivs:
            raise CipherError("a LUKS2 header cannot say that IVs count large sectors: leave --iv-large-sectors out")
        check_sector_size(request)
        check_kdf_request(request)
        metadata_bytes, keyslots_bytes = _sizes(request, bits // 8)
        return KeystoreDraft(
            handler=self.name,
            cipher=spec.render(),
            key_size_bits=bits,
            key_hash=check_hash(request.key_hash or DEFAULT_HASH),
            image_bytes=2 * metadata_bytes + keyslots_bytes,
            request=request.replace(metadata_bytes=metadata_bytes, keyslots_bytes=keyslots_bytes),
        )

    def create(
        self, draft: KeystoreDraft, credential: Secret, env: Environment, uuid: str
    ) -> tuple[bytes, VolumeKey]:
        request = draft.request
        key_bytes = draft.key_size_bits // 8
        kdf = choose_kdf(request, draft.key_hash, key_bytes, env)
        volume_key = VolumeKey(bytearray(env.random_bytes(key_bytes)))
        tree = {
            "keyslots": {},
            "tokens": {},
            "segments": {"0": _segment_tree(draft.cipher, request.sector_size or 512)},
            "digests": {"0": _digest_tree(draft, volume_key, env)},
            "config": {
                "json_size": str(request.metadata_bytes - _ALIGN_BYTES),
                "keyslots_size": str(request.keyslots_bytes),
            },
        }
        copy = new_copy(uuid, request.metadata_bytes, env.random_bytes(_HEADER_SALT_BYTES), tree, draft.image_bytes)
        image = bytearray(draft.image_bytes)
        image[: 2 * request.metadata_bytes] = encode_header(copy)
        add_key(image, 0, volume_key=volume_key, credential=credential, kdf=kdf, env=env)
        return bytes(image), volume_key

    def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
        return self._parameters(attributes, decode_header(image))

    @staticmethod
    def _parameters(attributes: KeystoreAttributes, header: Luks2Header) -> CipherParameters:
        document = header.document
        segment = data_segment(document)
        spec = parse_cipher_spec(segment.cipher)
        if segment.sector_size not in SECTOR_SIZES:
            raise KeystoreError(f"LUKS2 header: sector size {segment.sector_size} cannot be used")
        bits = segment_key_bytes(document, segment) * 8
        check_key_bits(spec, bits)
        check_agreement(attributes, "LUKS2", spec.render(), bits)
        return CipherParameters(
            cipher=spec.render(),
            key_size_bits=bits,
            sector_size=segment.sector_size,
            remarks=header.remarks,
            mends=header.mends,
        )

    def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
        header = decode_header(image)
        self._parameters(attributes, header)
        document = header.document
        return find_key(document, image, segment_digest(document, data_segment(document)), credential)[1]


def check_kdf_request(request: KeystoreRequest) -> None:
    """Raise CipherError for a key derivation that cannot be had."""
    kind = request.pbkdf or DEFAULT_PBKDF
    if kind not in KDFS:
        raise CipherError(f"unknown key derivation {printable(kind)!r}; known are {', '.join(KDFS)}")
    memory, lanes, passes = request.pbkdf_memory_kib, request.pbkdf_lanes, request.force_iterations
    if kind == PBKDF2:
        if memory or lanes:
            raise CipherError("pbkdf2 takes neither --pbkdf-memory nor --pbkdf-parallel")
        if passes:
            check_count(passes)
        return
    if memory and not MIN_MEMORY_KIB <= memory <= MAX_MEMORY_KIB:
        raise CipherError(f"{memory} KiB of memory is not between {MIN_MEMORY_KIB} and {MAX_MEMORY_KIB}")
    if lanes > MAX_NEW_LANES:
        raise CipherError(f"{lanes} parallel lanes are more than {MAX_NEW_LANES}")
    most = MAX_WORK // (memory or DEFAULT_MEMORY_KIB)
    if passes and not MIN_PASSES <= passes <= most:
        raise CipherError(f"{passes} passes of {kind} are not between {MIN_PASSES} and {most}")


def _sizes(request: KeystoreRequest, key_bytes: int) -> tuple[int, int]:
    """Bytes of a copy of the header, and of the keyslots' area; raises CipherError for what cannot be."""
    metadata = request.metadata_bytes or HEADER_SIZES[0]
    if metadata not in HEADER_SIZES:
        sizes = ", ".join(f"{size // 1024}k" for size in HEADER_SIZES)
        raise CipherError(f"--luks2-metadata-size {metadata} is not one of {sizes}")
    slot = round_up(material_bytes(key_bytes), _ALIGN_BYTES)
    keyslots = request.keyslots_bytes
    if not keyslots:
        whole = 2 * metadata + DEFAULT_KEYSLOTS * slot
        filled = round_up(whole, request.unit_bytes or 1)
        whole = round_up(min(filled, max(whole, _MOST_BY_DEFAULT)), _ALIGN_BYTES)
        keyslots = whole - 2 * metadata
    most = _LARGEST_IMAGE - 2 * metadata
    if keyslots % _ALIGN_BYTES or not slot <= keyslots <= most:
        raise CipherError(
            f"--luks2-keyslots-size {keyslots} is not between {slot} and {most} bytes in blocks of 4096"
        )
    return metadata, keyslots


def choose_kdf(request: KeystoreRequest, key_hash: str, key_bytes: int, env: Environment) -> KdfParameters:
    """What a new keyslot's derivation will be, without its salt: as asked for, else measured here.

    As with cryptsetup (lib/utils_pbkdf.c), Argon2 takes no more lanes than there are processors, and no more memory
    than is to be had.
    """
    kind, count = request.pbkdf or DEFAULT_PBKDF, request.force_iterations
    if kind == PBKDF2:
        if not count:
            count = iterations_for(
                pbkdf2_iterations_per_second(key_hash, key_bytes, env.monotonic), request.iter_time_ms
            )
        return KdfParameters(kind=kind, iterations=min(count, MAX_WORK), key_hash=key_hash)
    lanes = min(request.pbkdf_lanes or DEFAULT_LANES, env.cpus)
    memory = min(request.pbkdf_memory_kib or DEFAULT_MEMORY_KIB, env.usable_memory_kib())
    memory = max(memory, 8 * lanes, MIN_MEMORY_KIB)
    if count:
        return KdfParameters(kind=kind, iterations=count, memory_kib=memory, lanes=lanes)
    if not request.iter_time_ms:
        raise CipherError("--iter-time must be more than 0")
    return choose_cost(kind, lanes, memory, request.iter_time_ms, env.monotonic)


def _segment_tree(cipher: str, sector_size: int) -> dict[str, Any]:
    """A data segment of a detached header: everything of the device that it is used with."""
    return {
        "type": "crypt",
        "offset": "0",
        "size": "dynamic",
        "iv_tweak": "0",
        "encryption": cipher,
        "sector_size": sector_size,
    }


def _digest_tree(draft: KeystoreDraft, volume_key: VolumeKey, env: Environment) -> dict[str, Any]:
    hash_name, salt = draft.key_hash, env.random_bytes(SALT_BYTES)
    iterations = MIN_ITERATIONS
    if not draft.request.force_iterations:
        iterations = iterations_for(
            pbkdf2_iterations_per_second(hash_name, len(volume_key), env.monotonic), DIGEST_MS
        )
    with volume_key.reveal() as view:
        digest = pbkdf2(hash_name, view, salt, iterations, digest_bytes(hash_name))
    return {
        "type": PBKDF2,
        "keyslots": [],
        "segments": ["0"],
        "hash": hash_name,
        "iterations": iterations,
        "salt": _base64(salt),
        "digest": _base64(digest),
    }


def _base64(data: bytes | bytearray) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def data_segment(document: Document) -> Segment:
    """The one segment of encrypted data; raises KeystoreError, by name, for what is not served by this program."""
    for word in document.requirements:
        if "reencrypt" in word:
            raise KeystoreError(
                f"LUKS2 header: a re-encryption was begun and not ended ({printable(word[:64])}); end it with: "
                "cryptsetup reencrypt --resume-only"
            )
        raise KeystoreError(f"LUKS2 header: it needs {printable(word[:64])!r}, which this program does not know")
    regular = [segment for segment in document.segments if not segment.is_backup]
    segment = regular[0]
    if len(regular) > 1:
        raise KeystoreError(f"LUKS2 header: {len(regular)} data segments; volumes of one are served only")
    if segment.kind != "crypt":
        raise KeystoreError(f"LUKS2 header: a data segment of type {printable(segment.kind[:64])!r} is not served")
    if segment.integrity:
        raise KeystoreError(
            f"LUKS2 header: the data are authenticated ({printable(segment.integrity[:64])}, dm-integrity below); "
            "such volumes are not served"
        )
    return segment


def segment_digest(document: Document, segment: Segment) -> Digest:
    """The digest of a segment's key; raises KeystoreError when there is none that is known."""
    for digest in document.digests:
        if segment.number in digest.segments and digest.kind == PBKDF2:
            return digest
    raise KeystoreError(f"LUKS2 header: segments.{segment.number} has no digest of a known kind")


def segment_key_bytes(document: Document, segment: Segment) -> int:
    """Bytes of a segment's key, by its keyslots; raises KeystoreError when they do not tell."""
    slots = segment_digest(document, segment).keyslots
    sizes = {slot.key_bytes for slot in document.keyslots if slot.number in slots and slot.kind == LUKS2}
    if len(sizes) != 1:
        problem = "keyslots have keys of different sizes" if sizes else "no keyslot is there, nothing can open this"
        raise KeystoreError(f"LUKS2 header: {problem}")
    return sizes.pop()


def find_key(document: Document, image: bytes, digest: Digest, credential: Secret) -> tuple[int, VolumeKey]:
    """The first of a digest's keyslots that opens, those to be preferred first, and the volume key in it.

    Raises WrongCredential; KeystoreError when no keyslot may be tried, or when the passphrase may be right but the
    key material is damaged; CipherError.
    """
    slots = [slot for slot in document.keyslots if slot.number in digest.keyslots and slot.kind == LUKS2]
    tried = sorted((slot for slot in slots if slot.priority != IGNORE), key=lambda slot: slot.priority != PREFER)
    if not tried:
        problem = "every keyslot is set to be ignored" if slots else "no keyslot is there"
        raise KeystoreError(f"LUKS2 header: {problem}, nothing can open this keystore")
    for slot in affordable(tried):
        key = _open(slot, digest, image, credential)
        if key is not None:
            return slot.number, key
    kept = _marks(document)
    damage = {slot.number: _damage(slot, image, kept) for slot in tried}
    raise nothing_opened("LUKS2", damage)


def affordable(slots: Iterable[Keyslot]) -> Iterator[Keyslot]:
    """Keyslots in their order; raises CipherError at one whose derivation, by itself or with those before it, would
    take unreasonable time or memory."""
    work = 0
    for slot in slots:
        assert slot.kdf is not None  # noqa: S101 - keyslots of type luks2 have one
        check_cost(slot.kdf)
        work += slot.kdf.work
        if work > _MAX_TOTAL_WORK:
            raise CipherError(f"LUKS2 header: keyslot {slot.number} is not tried: together they would take too long")
        yield slot


def open_slot(document: Document, image: bytes, number: int, credential: Secret) -> VolumeKey | None:
    """The key in one keyslot, whatever its priority and whether it is a volume's; None when the credential does not
    open it. Raises KeystoreError for a keyslot that is not there or not of a known kind, CipherError."""
    slot = next((slot for slot in document.keyslots if slot.number == number), None)
    if slot is None or slot.kind != LUKS2:
        problem = "does not exist" if slot is None else f"is of type {printable(slot.kind[:64])!r}"
        raise KeystoreError(f"LUKS2 header: keyslot {number} {problem}")
    for digest in document.digests:
        if number in digest.keyslots and digest.kind == PBKDF2:
            return _open(slot, digest, image, credential)
    raise KeystoreError(f"LUKS2 header: keyslot {number} has no digest of a known kind")


def _open(slot: Keyslot, digest: Digest, image: bytes, credential: Secret) -> VolumeKey | None:
    assert slot.kdf is not None  # noqa: S101 - keyslots of type luks2 have one
    check_cost(slot.kdf)
    check_hash(slot.af_hash)
    check_cost(KdfParameters(kind=PBKDF2, iterations=digest.iterations, key_hash=digest.key_hash))
    spec = parse_cipher_spec(slot.area_cipher)
    check_key_bits(spec, slot.area_key_bytes * 8)
    with derived_key(slot.kdf, credential, slot.area_key_bytes) as derived:
        candidate = unseal(_material(slot, image), derived, spec.render(), slot.af_hash, slot.key_bytes)
    with candidate.reveal() as view:
        found = pbkdf2(digest.key_hash, view, digest.salt, digest.iterations, len(digest.digest))
    if compare_digest(found, digest.digest):
        return candidate
    candidate.close()
    return None


def _material(slot: Keyslot, image: bytes) -> bytes:
    return image[slot.area_offset : slot.area_offset + material_bytes(slot.key_bytes)]


def _marks(document: Document) -> dict[int, bytes]:
    """The marks that the header has of key material, by keyslot; never an error."""
    for token in document.tokens:
        if token.kind == _TOKEN:
            kept = document.tree["tokens"][str(token.number)].get("material")
            pairs = kept.items() if isinstance(kept, dict) else ()
            return {
                int(number): binascii.a2b_base64(text.encode("ascii", "replace"))
                for number, text in pairs
                if isinstance(text, str) and len(text) == 44 and number.isascii() and number.isdigit()
            }
    return {}


def _damage(slot: Keyslot, image: bytes, kept: dict[int, bytes]) -> str:
    salt = slot.kdf.salt if slot.kdf is not None else b""
    return find_damage(_material(slot, image), salt, kept.get(slot.number, b""))


def add_key(
    image: bytearray,
    number: int,
    *,
    volume_key: VolumeKey,
    credential: Secret,
    kdf: KdfParameters,
    env: Environment,
    like: int | None = None,
) -> None:
    """Put the volume key under a credential into keyslot `number` of `image`, in place; it gets the priority and the
    tokens of keyslot `like`, whose successor it is.

    Raises KeystoreError for a slot that is in use or beyond the last, a key that is not the volume's, or an area
    without room; CredentialError for an empty credential; CipherError.
    """
    copy = decode_header(bytes(image)).copy
    document = copy.document
    segment = data_segment(document)
    digest = segment_digest(document, segment)
    if not 0 <= number < MAX_KEYSLOTS:
        raise KeystoreError(f"LUKS2 header: there is no keyslot {number}")
    if any(slot.number == number for slot in document.keyslots):
        raise KeystoreError(f"LUKS2 header: keyslot {number} is in use")
    if not len(credential):
        raise CredentialError("an empty passphrase protects nothing; give another")
    with volume_key.reveal() as view:
        found = pbkdf2(digest.key_hash, view, digest.salt, digest.iterations, len(digest.digest))
    if not compare_digest(found, digest.digest):
        raise KeystoreError("LUKS2 header: this is not the volume's key")
    kdf = kdf.replace(salt=env.random_bytes(SALT_BYTES))
    check_cost(kdf)
    cipher, area_key_bytes = _area_cipher(segment.cipher, len(volume_key))
    offset, size = find_room(copy, len(volume_key))
    with derived_key(kdf, credential, area_key_bytes) as derived:
        material = seal(volume_key, derived, cipher, digest.key_hash, env.random_bytes)
    image[offset : offset + len(material)] = material
    tree = document.tree
    slot = {
        "type": LUKS2,
        "key_size": len(volume_key),
        "af": {"type": "luks1", "stripes": 4000, "hash": digest.key_hash},
        "area": {
            "type": "raw",
            "offset": str(offset),
            "size": str(size),
            "encryption": cipher,
            "key_size": area_key_bytes,
        },
        "kdf": _kdf_tree(kdf),
    }
    entry = tree["digests"][str(digest.number)]
    changed = tree | {
        "keyslots": tree["keyslots"] | {str(number): slot},
        "digests": tree["digests"] | {str(digest.number): entry | {"keyslots": [*entry["keyslots"], str(number)]}},
        "tokens": _marked(_inherited(tree["tokens"], like, number), number, mark(kdf.salt, material)),
    }
    priority = tree["keyslots"].get(str(like), {}).get("priority")
    if priority is not None:
        slot["priority"] = priority
    _put(image, changed_copy(copy, changed, len(image)))


def _inherited(tokens: dict[str, Any], like: int | None, number: int) -> dict[str, Any]:
    """The tokens with a keyslot wherever another one is (lib/setup.c:crypt_keyslot_change_by_passphrase)."""
    return {
        key: token | {"keyslots": [*token["keyslots"], str(number)]} if str(like) in token["keyslots"] else token
        for key, token in tokens.items()
    }


def remove_key(image: bytearray, number: int, env: Environment) -> None:
    """Take keyslot `number` out of `image`, in place, its key material overwritten.

    Raises KeystoreError for a slot that is not there, or a header that is not to be changed as `data_segment` does.
    """
    copy = decode_header(bytes(image)).copy
    data_segment(copy.document)
    slot = next((slot for slot in copy.document.keyslots if slot.number == number), None)
    if slot is None:
        raise KeystoreError(f"LUKS2 header: keyslot {number} does not exist")
    end = min(slot.area_offset + slot.area_bytes, len(image))
    image[slot.area_offset : end] = env.random_bytes(end - slot.area_offset)
    tree, word = copy.document.tree, str(number)
    changed = tree | {
        "keyslots": {key: value for key, value in tree["keyslots"].items() if key != word},
        "digests": {key: _without(value, word) for key, value in tree["digests"].items()},
        "tokens": {key: _unmarked(_without(value, word), word) for key, value in tree["tokens"].items()},
    }
    _put(image, changed_copy(copy, changed, len(image)))


def _without(entry: dict[str, Any], number: str) -> dict[str, Any]:
    return entry | {"keyslots": [other for other in entry["keyslots"] if other != number]}


def _unmarked(token: dict[str, Any], number: str) -> dict[str, Any]:
    marks = token.get("material") if token["type"] == _TOKEN else None
    if not isinstance(marks, dict):
        return token
    return token | {"material": {key: value for key, value in marks.items() if key != number}}


def _put(image: bytearray, copy: Copy) -> None:
    image[: 2 * copy.header_bytes] = encode_header(copy)


def _area_cipher(cipher: str, key_bytes: int) -> tuple[str, int]:
    """How key material is encrypted: as the data are, unless their cipher is not made for it (cryptsetup's
    lib/luks2/luks2_keyslot.c:LUKS2_keyslot_cipher_incompatible)."""
    if parse_cipher_spec(cipher).mode in _AREA_MODES:
        return cipher, key_bytes
    spec, bits = choose("", 0)
    return spec.render(), bits // 8


def find_room(copy: Copy, key_bytes: int) -> tuple[int, int]:
    """The first gap between key material that takes another one's: offset and bytes; raises KeystoreError."""
    size = round_up(material_bytes(key_bytes), _ALIGN_BYTES)
    offset = 2 * copy.header_bytes
    end = offset + copy.document.keyslots_bytes
    for slot in sorted(copy.document.keyslots, key=lambda slot: slot.area_offset):
        if offset + size <= slot.area_offset:
            break
        offset = round_up(slot.area_offset + slot.area_bytes, _ALIGN_BYTES)
    if offset + size > end:
        raise KeystoreError("LUKS2 header: its keyslots' area has no room for another keyslot")
    return offset, size


def _kdf_tree(kdf: KdfParameters) -> dict[str, Any]:
    salt = _base64(kdf.salt)
    if kdf.kind == PBKDF2:
        return {"type": kdf.kind, "hash": kdf.key_hash, "iterations": kdf.iterations, "salt": salt}
    return {
        "type": kdf.kind,
        "time": kdf.iterations,
        "memory": kdf.memory_kib,
        "cpus": kdf.lanes,
        "salt": salt,
    }


def _marked(tokens: dict[str, Any], number: int, kept: bytes) -> dict[str, Any]:
    """The tokens with a keyslot's mark in ours, which is made when it is not there and there is room for it."""
    place = next((key for key, token in tokens.items() if token["type"] == _TOKEN), None)
    place = place or next((str(free) for free in range(MAX_TOKENS) if str(free) not in tokens), None)
    if place is None:
        return tokens
    material = tokens.get(place, {}).get("material")
    marks = material if isinstance(material, dict) else {}
    token = {"type": _TOKEN, "keyslots": [], "material": marks | {str(number): _base64(kept)}}
    return tokens | {place: token}
