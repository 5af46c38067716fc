"""The luks1 handler: the keystore's extents are a LUKS1 header (LUKS1 On-Disk Format Specification 1.2.3).

A passphrase goes through PBKDF2 to the key that decrypts a slot's key material; merged, that is a candidate, and
PBKDF2 of the candidate is compared with the header's digest. The format does not let one tell a wrong passphrase from
key material that was damaged: both end in a candidate that is not the key.
"""

from __future__ import annotations

from hmac import compare_digest

from cryptlv.ciphers.afsplit import merge, split
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.ciphers.kdf import (
    MAX_ITERATIONS,
    MIN_ITERATIONS,
    check_hash,
    iterations_for,
    pbkdf2,
    pbkdf2_iterations_per_second,
)
from cryptlv.ciphers.spec import check_key_bits, choose, parse_cipher_spec
from cryptlv.errors import CipherError, CredentialError, KeystoreError, WrongCredential
from cryptlv.keys.handler import PASSPHRASE, CipherParameters, KeystoreDraft
from cryptlv.keys.luks1_header import (
    DIGEST_BYTES,
    KEYSLOTS,
    SALT_BYTES,
    STRIPES,
    Keyslot,
    Luks1Header,
    decode_header,
    empty_slot,
    encode_header,
    image_bytes,
)
from cryptlv.names import printable
from cryptlv.secret import VolumeKey
from cryptlv.units import SECTOR_SIZE, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
    from cryptlv.secret import Secret

DEFAULT_HASH = "sha256"
_DIGEST_MS = 125
"""The digest's iterations take an eighth of a second, as cryptsetup's do."""


class Luks1Handler:
    """See `cryptlv.keys.handler.KeyHandler`."""

    name = "luks1"
    credential_kind = PASSPHRASE

    def draft(self, request: KeystoreRequest) -> KeystoreDraft:
        spec, bits = choose(request.cipher, request.key_size_bits)
        hash_name = check_hash(request.key_hash or DEFAULT_HASH)
        if request.force_iterations:
            _check_count(request.force_iterations)
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
            digest_iterations=iterations_for(rate, _DIGEST_MS),
            uuid=uuid,
            keyslots=tuple(empty_slot(number, key_bytes) for number in range(KEYSLOTS)),
        )
        with volume_key.reveal() as view:
            header = header.replace(digest=_digest(header, view))
        image = bytearray(draft.image_bytes)
        header = add_key(
            header, image, 0, volume_key=volume_key, credential=credential, iterations=iterations, env=env
        )
        return bytes(image), volume_key

    def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
        header = decode_header(image)
        spec = parse_cipher_spec(header.cipher)
        check_key_bits(spec, header.key_bytes * 8)
        check_hash(header.hash_name)
        for said, found in ((attributes.cipher, header.cipher), (attributes.key_size_bits, header.key_bytes * 8)):
            if said and said != found:
                raise KeystoreError(f"the metadata says {printable(str(said))}, but the LUKS1 header says {found}")
        return CipherParameters(cipher=spec.render(), key_size_bits=header.key_bytes * 8)

    def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
        header = decode_header(image)
        self.parameters(attributes, image)
        active = [number for number, slot in enumerate(header.keyslots) if slot.active]
        if not active:
            raise KeystoreError("LUKS1 header: no keyslot is active, nothing can open this keystore")
        for number in active:
            key = open_slot(header, image, number, credential)
            if key is not None:
                return key
        raise WrongCredential("no keyslot opens with this passphrase")


def _check_count(iterations: int) -> None:
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise CipherError(f"{iterations} PBKDF2 iterations are not between {MIN_ITERATIONS} and {MAX_ITERATIONS}")


def _digest(header: Luks1Header, key: memoryview) -> bytes:
    return bytes(pbkdf2(header.hash_name, key, header.digest_salt, header.digest_iterations, DIGEST_BYTES))


def _derived_key(header: Luks1Header, slot: Keyslot, credential: Secret) -> VolumeKey:
    with credential.reveal() as view:
        return VolumeKey(pbkdf2(header.hash_name, view, slot.salt, slot.iterations, header.key_bytes))


def open_slot(header: Luks1Header, image: bytes, number: int, credential: Secret) -> VolumeKey | None:
    """The volume key from one keyslot, None when the credential does not open it; raises CipherError."""
    slot = header.keyslots[number]
    start = slot.offset_sectors * SECTOR_SIZE
    length = round_up(header.key_bytes * STRIPES, SECTOR_SIZE)
    material = bytearray(image[start : start + length])
    with _derived_key(header, slot, credential) as derived:
        cipher = open_sector_cipher(header.cipher, derived)
        cipher.decrypt(material, 0)
        cipher.close()
    candidate = VolumeKey(merge(material, header.key_bytes, STRIPES, header.hash_name))
    material[:] = bytes(len(material))
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
    if not 0 <= number < len(header.keyslots):
        raise KeystoreError(f"LUKS1 header: there is no keyslot {number}")
    old = header.keyslots[number]
    if old.active:
        raise KeystoreError(f"LUKS1 header: keyslot {number} is in use")
    if not len(credential):
        raise CredentialError("an empty passphrase protects nothing; give another")
    _check_count(iterations)
    slot = old.replace(active=True, iterations=iterations, salt=env.random_bytes(SALT_BYTES))
    with volume_key.reveal() as view:
        material = split(view, STRIPES, header.hash_name, env.random_bytes)
    material += bytes(-len(material) % SECTOR_SIZE)
    with _derived_key(header, slot, credential) as derived:
        cipher = open_sector_cipher(header.cipher, derived)
        cipher.encrypt(material, 0)
        cipher.close()
    start = slot.offset_sectors * SECTOR_SIZE
    image[start : start + len(material)] = material
    slots = tuple(slot if place == number else other for place, other in enumerate(header.keyslots))
    header = header.replace(keyslots=slots)
    encoded = encode_header(header)
    image[: len(encoded)] = encoded
    return header
