"""The keyslots of a LUKS2 header; see `cryptlv.keys.keyslots.Keyslots`."""

from __future__ import annotations

from cryptlv.errors import KeystoreError, WrongCredential
from cryptlv.keys.keyslots import KeyslotInfo
from cryptlv.keys.luks2 import (
    DEFAULT_HASH,
    Luks2Handler,
    add_key,
    affordable,
    choose_kdf,
    data_segment,
    open_slot,
    remove_key,
    segment_digest,
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
        return decode_header(image).copy.uuid

    def used_bytes(self, image: bytes) -> int:
        copy = decode_header(image).copy
        return min(2 * copy.header_bytes + copy.document.keyslots_bytes, len(image))

    def header_copies(self, image: bytes) -> tuple[tuple[int, int], ...]:
        size = decode_header(image).copy.header_bytes
        return ((0, size), (size, size))

    def areas(self, image: bytes) -> tuple[tuple[int, int], ...]:
        return tuple((slot.area_offset, slot.area_bytes) for slot in decode_header(image).document.keyslots)

    def listed(self, image: bytes) -> tuple[KeyslotInfo, ...]:
        document = decode_header(image).document
        return tuple(
            KeyslotInfo(
                number=slot.number,
                kind=slot.kdf.kind if slot.kdf is not None else slot.kind,
                priority=_PRIORITIES.get(slot.priority, ""),
                tokens=tuple(token.kind for token in document.tokens if slot.number in token.keyslots),
            )
            for slot in sorted(document.keyslots, key=lambda slot: slot.number)
        )

    def find(
        self, attributes: KeystoreAttributes, image: bytes, credential: Secret, number: int | None = None
    ) -> tuple[int, VolumeKey]:
        Luks2Handler().parameters(attributes, image)
        document = decode_header(image).document
        bound = segment_digest(document, data_segment(document)).keyslots
        if number is not None and number not in bound:
            raise KeystoreError(f"LUKS2 header: keyslot {number} does not exist, or has no key of this volume")
        slots = [slot for slot in document.keyslots if slot.number in bound and slot.kind == LUKS2]
        if number is None:
            slots = [slot for slot in slots if slot.priority != IGNORE]
        for slot in affordable(sorted(slots, key=lambda slot: slot.priority != PREFER)):
            if number is not None and slot.number != number:
                continue
            key = open_slot(document, image, slot.number, credential)
            if key is not None:
                return slot.number, key
        which = "no keyslot opens" if number is None else f"keyslot {number} does not open"
        raise WrongCredential(f"{which} with this passphrase")

    def with_key(
        self,
        image: bytes,
        number: int | None,
        volume_key: VolumeKey,
        credential: Secret,
        request: KeystoreRequest,
        env: Environment,
    ) -> tuple[bytes, int]:
        document = decode_header(image).document
        taken = {slot.number for slot in document.keyslots}
        if number is None:
            number = next((place for place in range(MAX_KEYSLOTS) if place not in taken), None)
        if number is None:
            raise KeystoreError("LUKS2 header: every keyslot is in use; remove one first: lvchange --killkey N")
        kdf = choose_kdf(request, request.key_hash or DEFAULT_HASH, len(volume_key), env)
        changed = bytearray(image)
        add_key(changed, number, volume_key=volume_key, credential=credential, kdf=kdf, env=env)
        return bytes(changed), number

    def without_key(self, image: bytes, number: int, env: Environment) -> bytes:
        changed = bytearray(image)
        remove_key(changed, number, env)
        return bytes(changed)
