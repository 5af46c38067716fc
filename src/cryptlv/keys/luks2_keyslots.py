"""The keyslots of a LUKS2 header; see `cryptlv.keys.keyslots.Keyslots`."""

from __future__ import annotations

from cryptlv.errors import KeystoreError, WrongCredential
from cryptlv.keys.keyslots import KeyslotInfo
from cryptlv.keys.luks2 import (
    DEFAULT_HASH,
    Luks2Handler,
    add_key,
    check_kdf_request,
    choose_kdf,
    data_segment,
    find_key,
    find_room,
    open_slot,
    remove_key,
    segment_digest,
    segment_key_bytes,
)
from cryptlv.keys.luks2_header import decode_header
from cryptlv.keys.luks2_json import IGNORE, LUKS2, MAX_KEYSLOTS, PREFER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret, VolumeKey

_PRIORITIES = {IGNORE: "ignore", PREFER: "prefer"}


class Luks2Keyslots:
    """Two copies of a header, and up to 32 keyslots whose places it says."""

    def identity(self, image: bytes) -> str:
        copy = decode_header(image).copy
        keys = (f"{digest.salt.hex()} {digest.digest.hex()}" for digest in copy.document.digests if digest.segments)
        return " ".join((copy.uuid, *keys))

    def used_bytes(self, image: bytes) -> int:
        copy = decode_header(image).copy
        return min(2 * copy.header_bytes + copy.document.keyslots_bytes, len(image))

    def header_copies(self, image: bytes) -> tuple[tuple[int, int], ...]:
        header = decode_header(image)
        size = header.copy.header_bytes
        stale = {offset for offset, _ in header.mends}
        return tuple(sorted(((0, size), (size, size)), key=lambda place: place[0] not in stale))

    def areas(self, image: bytes) -> tuple[tuple[int, int], ...]:
        return tuple((slot.area_offset, slot.area_bytes) for slot in decode_header(image).document.keyslots)

    def listed(self, image: bytes) -> tuple[KeyslotInfo, ...]:
        document = decode_header(image).document
        bound = {number for digest in document.digests if digest.segments for number in digest.keyslots}
        return tuple(
            KeyslotInfo(
                number=slot.number,
                kind=slot.kdf.kind if slot.kdf is not None else slot.kind,
                priority=_PRIORITIES.get(slot.priority, ""),
                tokens=tuple(token.kind for token in document.tokens if slot.number in token.keyslots),
                is_bound=slot.kind == LUKS2 and slot.number in bound,
            )
            for slot in sorted(document.keyslots, key=lambda slot: slot.number)
        )

    def find(
        self, attributes: KeystoreAttributes, image: bytes, credential: Secret, number: int | None = None
    ) -> tuple[int, VolumeKey]:
        Luks2Handler().parameters(attributes, image)
        document = decode_header(image).document
        digest = segment_digest(document, data_segment(document))
        if number is None:
            return find_key(document, image, digest, credential)
        if number not in digest.keyslots:
            raise KeystoreError(f"LUKS2 header: keyslot {number} does not exist, or has no key of this volume")
        key = open_slot(document, image, number, credential)
        if key is None:
            raise WrongCredential(f"keyslot {number} does not open with this passphrase")
        return number, key

    def free_keyslot(self, image: bytes, number: int | None, request: KeystoreRequest) -> int:
        check_kdf_request(request)
        copy = decode_header(image).copy
        find_room(copy, segment_key_bytes(copy.document, data_segment(copy.document)))
        taken = {slot.number for slot in copy.document.keyslots}
        if number is None:
            number = next((place for place in range(MAX_KEYSLOTS) if place not in taken), None)
        if number is None:
            raise KeystoreError("LUKS2 header: every keyslot is in use; remove one first: lvchange --killkey N")
        if number >= MAX_KEYSLOTS:
            raise KeystoreError(f"LUKS2 header: there is no keyslot {number}, the last is {MAX_KEYSLOTS - 1}")
        if number in taken:
            raise KeystoreError(f"LUKS2 header: keyslot {number} is in use")
        return number

    def with_key(
        self,
        image: bytes,
        number: int,
        volume_key: VolumeKey,
        credential: Secret,
        request: KeystoreRequest,
        env: Environment,
        *,
        like: int | None = None,
    ) -> bytes:
        kdf = choose_kdf(request, request.key_hash or DEFAULT_HASH, len(volume_key), env)
        changed = bytearray(image)
        add_key(changed, number, volume_key=volume_key, credential=credential, kdf=kdf, env=env, like=like)
        return bytes(changed)

    def without_key(self, image: bytes, number: int, env: Environment) -> bytes:
        changed = bytearray(image)
        remove_key(changed, number, env)
        return bytes(changed)
