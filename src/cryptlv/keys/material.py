"""Key material: a volume key split by the anti-forensic splitter and encrypted, as LUKS1 and LUKS2 keep it.

The formats have no checksum over it, so that damage to it looks like a wrong passphrase. Two things tell them apart:
bytes that cannot be encrypted ones, as they are not random (zeros, a text, an old superblock); and a mark, which this
program keeps in the headers it makes: the beginnings of the keyslot's salt and of the SHA-256 of the material as it
lies on the disk. A mark with another salt is of a key that another program has replaced since, and says nothing.
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest

from cryptlv.ciphers.afsplit import merge, split
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.ciphers.kdf import derive
from cryptlv.errors import KeystoreError, WrongCredential
from cryptlv.secret import VolumeKey
from cryptlv.units import SECTOR_SIZE, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptlv.ciphers.kdf import KdfParameters
    from cryptlv.errors import CryptlvError
    from cryptlv.secret import Secret

STRIPES = 4000
"""The only number of stripes that is in use (LUKS1 specification, LUKS2 specification section 3.2.1)."""
MARK_BYTES = 32
_SALT_PART = 8
_LEAST_VALUES = 128
"""Of 256 values a random sector of 512 bytes has 221 with a deviation of 5; half of that never happens."""


def material_bytes(key_bytes: int) -> int:
    """Bytes of a key's material, in whole sectors."""
    return round_up(key_bytes * STRIPES, SECTOR_SIZE)


def derived_key(kdf: KdfParameters, credential: Secret, key_bytes: int) -> VolumeKey:
    """The key that a credential gives for a keyslot's material; raises CipherError."""
    with credential.reveal() as view:
        return VolumeKey(derive(kdf, view, key_bytes))


def seal(
    volume_key: VolumeKey, derived: VolumeKey, cipher: str, hash_name: str, random_bytes: Callable[[int], bytes]
) -> bytes:
    """The material of a volume key, under a derived key, sectors counted from 0; raises CipherError."""
    with volume_key.reveal() as view:
        material = split(view, STRIPES, hash_name, random_bytes)
    material += bytes(-len(material) % SECTOR_SIZE)
    engine = open_sector_cipher(cipher, derived)
    try:
        engine.encrypt(material, 0)
    finally:
        engine.close()
    return bytes(material)


def unseal(material: bytes, derived: VolumeKey, cipher: str, hash_name: str, key_bytes: int) -> VolumeKey:
    """What the material holds under a derived key: the volume key, or noise; raises CipherError."""
    plain = bytearray(material)
    engine = open_sector_cipher(cipher, derived)
    try:
        engine.decrypt(plain, 0)
        return VolumeKey(merge(plain, key_bytes, STRIPES, hash_name))
    finally:
        engine.close()
        plain[:] = bytes(len(plain))


def mark(salt: bytes, material: bytes) -> bytes:
    """What is kept to know whether a keyslot's material is still what was written."""
    return salt[:_SALT_PART] + hashlib.sha256(material).digest()[: MARK_BYTES - _SALT_PART]


def find_damage(material: bytes, salt: bytes, kept: bytes) -> str:
    """What is wrong with a keyslot's material, "" when nothing shows; `kept` is its mark, b"" without one."""
    for start in range(0, len(material), SECTOR_SIZE):
        if len(set(material[start : start + SECTOR_SIZE])) < _LEAST_VALUES:
            return f"its byte {start} and those behind it are not encrypted data"
    if kept[:_SALT_PART] == salt[:_SALT_PART] and not compare_digest(kept, mark(salt, material)):
        return "it is not what was written there"
    return ""


def nothing_opened(kind: str, damage: Mapping[int, str]) -> CryptlvError:
    """The error when no keyslot opened: `damage` has what is wrong with the material of each that was tried.

    It is WrongCredential as long as one of them is whole, so that another passphrase is tried.
    """
    damaged = [f"keyslot {number}: {what}" for number, what in damage.items() if what]
    if not damaged:
        return WrongCredential("no keyslot opens with this passphrase")
    told = f"key material is damaged ({'; '.join(damaged)})"
    if len(damaged) < len(damage):
        return WrongCredential(f"no whole keyslot opens with this passphrase, and {told}")
    return KeystoreError(f"{kind} header: {told}: no passphrase can open it; restore it from a header backup")
