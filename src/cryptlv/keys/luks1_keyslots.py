"""The keyslots of a LUKS1 header; see `cryptlv.keys.keyslots.Keyslots`."""

from __future__ import annotations

from cryptlv.ciphers.kdf import PBKDF2, iterations_for, pbkdf2_iterations_per_second
from cryptlv.errors import KeystoreError, WrongCredential
from cryptlv.keys.keyslots import KeyslotInfo
from cryptlv.keys.luks1 import Luks1Handler, add_key, find_key, open_slot, remove_key
from cryptlv.keys.luks1_header import decode_header
from cryptlv.keys.material import material_bytes
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret, VolumeKey

_HEADER_BYTES = 4096
"""The header, and the marks of key material behind it; key material begins here at the earliest, or before."""


class Luks1Keyslots:
    """A header with eight keyslots of fixed places, and one copy of it."""

    def identity(self, image: bytes) -> str:
        header = decode_header(image)
        return f"{header.uuid} {header.digest_salt.hex()} {header.digest.hex()}"

    def used_bytes(self, image: bytes) -> int:
        return min(decode_header(image).image_bytes, len(image))

    def header_copies(self, image: bytes) -> tuple[tuple[int, int], ...]:
        first = min(slot.offset_sectors for slot in decode_header(image).keyslots) * SECTOR_SIZE
        return ((0, min(first, _HEADER_BYTES)),)

    def areas(self, image: bytes) -> tuple[tuple[int, int], ...]:
        header = decode_header(image)
        size = material_bytes(header.key_bytes)
        return tuple((slot.offset_sectors * SECTOR_SIZE, size) for slot in header.keyslots if slot.active)

    def listed(self, image: bytes) -> tuple[KeyslotInfo, ...]:
        slots = enumerate(decode_header(image).keyslots)
        return tuple(KeyslotInfo(number=number, kind=PBKDF2) for number, slot in slots if slot.active)

    def find(
        self, attributes: KeystoreAttributes, image: bytes, credential: Secret, number: int | None = None
    ) -> tuple[int, VolumeKey]:
        Luks1Handler().parameters(attributes, image)
        header = decode_header(image)
        if number is None:
            return find_key(header, image, credential)
        key = open_slot(header, image, number, credential)
        if key is None:
            raise WrongCredential(f"keyslot {number} does not open with this passphrase")
        return number, key

    def free_keyslot(self, image: bytes, number: int | None, request: KeystoreRequest) -> int:
        Luks1Handler().draft(request)
        slots = decode_header(image).keyslots
        if number is None:
            number = next((place for place, slot in enumerate(slots) if not slot.active), None)
        if number is None:
            raise KeystoreError("LUKS1 header: every keyslot is in use; remove one first: lvchange --killkey N")
        if number >= len(slots):
            raise KeystoreError(f"LUKS1 header: there is no keyslot {number}, the last is {len(slots) - 1}")
        if slots[number].active:
            raise KeystoreError(f"LUKS1 header: keyslot {number} is in use")
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
        header = decode_header(image)
        iterations = request.force_iterations
        if not iterations:
            rate = pbkdf2_iterations_per_second(header.hash_name, header.key_bytes, env.monotonic)
            iterations = iterations_for(rate, request.iter_time_ms)
        changed = bytearray(image)
        add_key(header, changed, number, volume_key=volume_key, credential=credential, iterations=iterations, env=env)
        return bytes(changed)

    def without_key(self, image: bytes, number: int, env: Environment) -> bytes:
        changed = bytearray(image)
        remove_key(decode_header(image), changed, number, env)
        return bytes(changed)
