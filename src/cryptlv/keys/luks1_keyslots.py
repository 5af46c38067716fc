"""The keyslots of a LUKS1 header; see `cryptlv.keys.keyslots.Keyslots`."""

from __future__ import annotations

from cryptlv.ciphers.kdf import PBKDF2, iterations_for, pbkdf2_iterations_per_second
from cryptlv.errors import KeystoreError, WrongCredential
from cryptlv.keys.keyslots import KeyslotInfo
from cryptlv.keys.luks1 import Luks1Handler, add_key, open_slot, remove_key
from cryptlv.keys.luks1_header import decode_header, image_bytes, slot_bytes
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret, VolumeKey

_HEADER_BYTES = 4096
"""The header, and the marks of key material behind it; key material begins here at the earliest."""


class Luks1Keyslots:
    """A header with eight keyslots of fixed places, and one copy of it."""

    def identity(self, image: bytes) -> str:
        return decode_header(image).uuid

    def used_bytes(self, image: bytes) -> int:
        return min(image_bytes(decode_header(image).key_bytes), len(image))

    def header_copies(self, image: bytes) -> tuple[tuple[int, int], ...]:
        first = min(slot.offset_sectors for slot in decode_header(image).keyslots) * SECTOR_SIZE
        return ((0, min(first, _HEADER_BYTES)),)

    def areas(self, image: bytes) -> tuple[tuple[int, int], ...]:
        header = decode_header(image)
        size = slot_bytes(header.key_bytes)
        return tuple((slot.offset_sectors * SECTOR_SIZE, size) for slot in header.keyslots if slot.active)

    def listed(self, image: bytes) -> tuple[KeyslotInfo, ...]:
        slots = enumerate(decode_header(image).keyslots)
        return tuple(KeyslotInfo(number=number, kind=PBKDF2) for number, slot in slots if slot.active)

    def find(
        self, attributes: KeystoreAttributes, image: bytes, credential: Secret, number: int | None = None
    ) -> tuple[int, VolumeKey]:
        Luks1Handler().parameters(attributes, image)
        header = decode_header(image)
        for place in [slot.number for slot in self.listed(image)] if number is None else [number]:
            key = open_slot(header, image, place, credential)
            if key is not None:
                return place, key
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
        Luks1Handler().draft(request)
        header = decode_header(image)
        if number is None:
            number = next((place for place, slot in enumerate(header.keyslots) if not slot.active), None)
        if number is None:
            raise KeystoreError("LUKS1 header: every keyslot is in use; remove one first: lvchange --killkey N")
        iterations = request.force_iterations
        if not iterations:
            rate = pbkdf2_iterations_per_second(header.hash_name, header.key_bytes, env.monotonic)
            iterations = iterations_for(rate, request.iter_time_ms)
        changed = bytearray(image)
        add_key(header, changed, number, volume_key=volume_key, credential=credential, iterations=iterations, env=env)
        return bytes(changed), number

    def without_key(self, image: bytes, number: int, env: Environment) -> bytes:
        changed = bytearray(image)
        remove_key(decode_header(image), changed, number, env)
        return bytes(changed)
