"""The luks1 handler: the keystore's extents are a LUKS1 header (LUKS1 On-Disk Format Specification 1.2.3).

A passphrase goes through PBKDF2 to the key that decrypts a slot's key material; merged, that is a candidate, and
PBKDF2 of the candidate is compared with the header's digest.
"""

from __future__ import annotations

from hmac import compare_digest

from cryptlv.ciphers.kdf import (
    MAX_WORK,
    MIN_ITERATIONS,
    PBKDF2,
    KdfParameters,
    check_hash,
    iterations_for,
    pbkdf2,
    pbkdf2_iterations_per_second,
)
from cryptlv.ciphers.spec import check_key_bits, choose, parse_cipher_spec
from cryptlv.errors import CipherError, CredentialError, KeystoreError
from cryptlv.keys.handler import PASSPHRASE, CipherParameters, KeystoreDraft, check_agreement, refuse_options
from cryptlv.keys.luks1_header import (
    DIGEST_BYTES,
    KEYSLOTS,
    SALT_BYTES,
    Keyslot,
    Luks1Header,
    decode_header,
    decode_marks,
    empty_slot,
    encode_header,
    image_bytes,
    put_mark,
)
from cryptlv.keys.material import derived_key, find_damage, mark, material_bytes, nothing_opened, seal, unseal
from cryptlv.secret import VolumeKey
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret

DEFAULT_HASH = "sha256"
DIGEST_MS = 125
"""The digest's iterations take an eighth of a second, as cryptsetup's do."""


class Luks1Handler:
    """See `cryptlv.keys.handler.KeyHandler`."""

    name = "luks1"
    credential_kind = PASSPHRASE

    def draft(self, request: KeystoreRequest) -> KeystoreDraft:
        refuse_options(self.name, request, ("key_hash", "iter_time_ms", "force_iterations", "pbkdf"))
        if request.pbkdf not in ("", PBKDF2):
            raise CipherError(f"a LUKS1 header has {PBKDF2} only; leave --pbkdf out, or take --handler luks2")
        spec, bits = choose(request.cipher, request.key_size_bits)
        hash_name = check_hash(request.key_hash or DEFAULT_HASH)
        if request.force_iterations:
            check_count(request.force_iterations)
        return KeystoreDraft(
            handler=self.name,
            cipher=spec.render(),
            key_size_bits=bits,
            key_hash=hash_name,
            image_bytes=image_bytes(bits // 8),
            request=request,
        )

    def create(
        self, draft: KeystoreDraft, credential: Secret, env: Environment, uuid: str
    ) -> tuple[bytes, VolumeKey]:
        key_bytes = draft.key_size_bits // 8
        volume_key = VolumeKey(bytearray(env.random_bytes(key_bytes)))
        rate = 0
        if not draft.request.force_iterations:
            rate = pbkdf2_iterations_per_second(draft.key_hash, key_bytes, env.monotonic)
        iterations = draft.request.force_iterations or iterations_for(rate, draft.request.iter_time_ms)
        name, _, mode = draft.cipher.partition("-")
        header = Luks1Header(
            cipher_name=name,
            cipher_mode=mode,
            hash_name=draft.key_hash,
            payload_offset_sectors=0,
            key_bytes=key_bytes,
            digest=bytes(DIGEST_BYTES),
            digest_salt=env.random_bytes(SALT_BYTES),
            digest_iterations=iterations_for(rate, DIGEST_MS),
            uuid=uuid,
            keyslots=tuple(empty_slot(number, key_bytes) for number in range(KEYSLOTS)),
        )
        with volume_key.reveal() as view:
            header = header.replace(digest=_digest(header, view))
        image = bytearray(draft.image_bytes)
        add_key(header, image, 0, volume_key=volume_key, credential=credential, iterations=iterations, env=env)
        return bytes(image), volume_key

    def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
        header = decode_header(image)
        spec = parse_cipher_spec(header.cipher)
        check_key_bits(spec, header.key_bytes * 8)
        check_hash(header.hash_name)
        check_agreement(attributes, "LUKS1", header.cipher, header.key_bytes * 8)
        return CipherParameters(cipher=spec.render(), key_size_bits=header.key_bytes * 8)

    def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
        self.parameters(attributes, image)
        return find_key(decode_header(image), image, credential)[1]


def check_count(iterations: int) -> None:
    """Raise CipherError for a count of PBKDF2 iterations that a new keyslot cannot have."""
    if not MIN_ITERATIONS <= iterations <= MAX_WORK:
        raise CipherError(f"{iterations} PBKDF2 iterations are not between {MIN_ITERATIONS} and {MAX_WORK}")


def find_key(header: Luks1Header, image: bytes, credential: Secret) -> tuple[int, VolumeKey]:
    """The first keyslot that opens, and the volume key in it.

    Raises WrongCredential; KeystoreError when no keyslot is active, or when the passphrase may be right but the key
    material is damaged; CipherError.
    """
    active = [number for number, slot in enumerate(header.keyslots) if slot.active]
    if not active:
        raise KeystoreError("LUKS1 header: no keyslot is active, nothing can open this keystore")
    for number in active:
        key = open_slot(header, image, number, credential)
        if key is not None:
            return number, key
    damage = {}
    for number, kept in enumerate(decode_marks(image, header)):
        slot = header.keyslots[number]
        if slot.active:
            damage[number] = find_damage(_material(header, slot, image), slot.salt, kept)
    raise nothing_opened("LUKS1", damage)


def _digest(header: Luks1Header, key: memoryview) -> bytes:
    return bytes(pbkdf2(header.hash_name, key, header.digest_salt, header.digest_iterations, DIGEST_BYTES))


def _kdf(header: Luks1Header, slot: Keyslot) -> KdfParameters:
    return KdfParameters(kind=PBKDF2, iterations=slot.iterations, salt=slot.salt, key_hash=header.hash_name)


def _material(header: Luks1Header, slot: Keyslot, image: bytes) -> bytes:
    start = slot.offset_sectors * SECTOR_SIZE
    return image[start : start + material_bytes(header.key_bytes)]


def _slot(header: Luks1Header, number: int) -> Keyslot:
    if not 0 <= number < len(header.keyslots):
        raise KeystoreError(f"LUKS1 header: there is no keyslot {number}")
    return header.keyslots[number]


def open_slot(header: Luks1Header, image: bytes, number: int, credential: Secret) -> VolumeKey | None:
    """The volume key from one keyslot, None when the credential does not open it.

    Raises KeystoreError for a keyslot that is not there or is disabled, CipherError.
    """
    slot = _slot(header, number)
    if not slot.active:
        raise KeystoreError(f"LUKS1 header: keyslot {number} is disabled")
    material = _material(header, slot, image)
    with derived_key(_kdf(header, slot), credential, header.key_bytes) as derived:
        candidate = unseal(material, derived, header.cipher, header.hash_name, header.key_bytes)
    with candidate.reveal() as view:
        right = compare_digest(_digest(header, view), header.digest)
    if right:
        return candidate
    candidate.close()
    return None


def add_key(
    header: Luks1Header,
    image: bytearray,
    number: int,
    *,
    volume_key: VolumeKey,
    credential: Secret,
    iterations: int,
    env: Environment,
) -> Luks1Header:
    """Put the volume key under a credential into keyslot `number` of `image`, in place; gives the new header.

    Raises KeystoreError for a slot that is not there or is in use, CredentialError for an empty credential,
    CipherError for a count of iterations that is out of range.
    """
    old = _slot(header, number)
    if old.active:
        raise KeystoreError(f"LUKS1 header: keyslot {number} is in use")
    if not len(credential):
        raise CredentialError("an empty passphrase protects nothing; give another")
    check_count(iterations)
    slot = old.replace(active=True, iterations=iterations, salt=env.random_bytes(SALT_BYTES))
    with derived_key(_kdf(header, slot), credential, header.key_bytes) as derived:
        material = seal(volume_key, derived, header.cipher, header.hash_name, env.random_bytes)
    start = slot.offset_sectors * SECTOR_SIZE
    image[start : start + len(material)] = material
    put_mark(image, header, number, mark(slot.salt, material))
    return _put_slot(header, image, number, slot)


def remove_key(header: Luks1Header, image: bytearray, number: int, env: Environment) -> Luks1Header:
    """Disable keyslot `number` of `image`, in place, its key material overwritten; gives the new header.

    Raises KeystoreError for a slot that is not there or is disabled already.
    """
    slot = _slot(header, number)
    if not slot.active:
        raise KeystoreError(f"LUKS1 header: keyslot {number} is disabled")
    start, length = slot.offset_sectors * SECTOR_SIZE, material_bytes(header.key_bytes)
    image[start : start + length] = env.random_bytes(length)
    if decode_marks(bytes(image), header)[number]:
        put_mark(image, header, number, b"")
    gone = slot.replace(active=False, iterations=0, salt=bytes(SALT_BYTES))
    return _put_slot(header, image, number, gone)


def _put_slot(header: Luks1Header, image: bytearray, number: int, slot: Keyslot) -> Luks1Header:
    slots = tuple(slot if place == number else other for place, other in enumerate(header.keyslots))
    header = header.replace(keyslots=slots)
    encoded = encode_header(header)
    image[: len(encoded)] = encoded
    return header
