"""What encrypts sectors on this machine, and how fast."""

from __future__ import annotations

from cryptlv.ciphers.engine import ENGINES, engine_version, fastest_engines, measure
from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.errors import CipherError
from cryptlv.record import Record

SECTOR_SIZE = 512
SPECS = (
    ("aes-xts-plain64", 512), ("aes-cbc-essiv:sha256", 256), ("aes-ctr-plain64", 256), ("aes-lrw-benbi", 384),
    ("serpent-xts-plain64", 512), ("serpent-cbc-essiv:sha256", 256), ("twofish-xts-plain64", 512),
    ("camellia-xts-plain64", 512), ("xchacha12,aes-adiantum-plain64", 256), ("xchacha20,aes-adiantum-plain64", 256),
)  # fmt: skip
"""What is measured, with the bits of its key: a cipher of each kind."""


class EngineState(Record):
    """One engine: `version` of its library, or `reason` why it cannot be used, the other being ""."""

    name: str
    version: str = ""
    reason: str = ""


class CipherSpeeds(Record):
    """One cipher: `chosen` are the engines that encrypt and decrypt, ("", "") when none can; `speeds` has for each
    engine that can do it (name, bytes a second encrypted, decrypted), with sectors of 512 bytes."""

    spec: str
    key_bits: int
    chosen: tuple[str, str]
    speeds: tuple[tuple[str, float, float], ...]


def engine_states() -> tuple[EngineState, ...]:
    """Every engine, the preferred ones first."""
    return tuple(_state(name) for name in ENGINES)


def _state(name: str) -> EngineState:
    try:
        return EngineState(name=name, version=engine_version(name))
    except CipherError as error:
        return EngineState(name=name, reason=str(error))


def cipher_speeds() -> tuple[CipherSpeeds, ...]:
    """What is measured now, on this machine."""
    found = []
    for text, bits in SPECS:
        spec = parse_cipher_spec(text)
        speeds = [(name, *measure(spec, bits // 8, SECTOR_SIZE, name)) for name in ENGINES]
        usable = tuple(row for row in speeds if row[1])
        chosen = fastest_engines(spec, bits // 8, SECTOR_SIZE) if usable else ("", "")
        found.append(CipherSpeeds(spec=text, key_bits=bits, chosen=chosen, speeds=usable))
    return tuple(found)
