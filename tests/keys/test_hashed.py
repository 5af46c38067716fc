"""The hashed handler gives the keys that `cryptsetup open --type plain` loads (row S16)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cryptlv.ciphers.kdf import check_hash
from cryptlv.errors import CipherError, CryptlvError, KeystoreError, UsageError
from cryptlv.host.prompt import CredentialSource, KeyFile
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.hashed import HashedHandler, hashed_key, parse_hash
from cryptlv.keys.plain import PlainHandler
from cryptlv.secret import Passphrase, Secret

HANDLER = HashedHandler()
_LINES = (Path(__file__).parent.parent / "golden" / "dmcrypt" / "plain-mode-keys.jsonl").read_text().splitlines()
ABOUT, *CASES = map(json.loads, _LINES)
for _case in CASES:
    _case["hash"] = _case["hash"] or "ripemd160"  # cryptsetup 2.6.1's default
HASHED = [case for case in CASES if case["how"] == "stdin"]
KEY_FILES = [case for case in CASES if case["how"] == "keyfile"]


def has_hash(text: str) -> bool:
    try:
        parse_hash(text, 512)
    except CipherError:
        return False
    return True


def opened(key: Secret) -> bytes:
    with key, key.reveal() as view:
        return bytes(view)


@pytest.mark.parametrize("case", HASHED, ids=lambda case: f"{case['hash']}-{case['key_bits']}")
def test_the_key_is_the_one_that_cryptsetup_loads(case: dict[str, Any]) -> None:
    passphrase, key_bytes = bytes.fromhex(case["passphrase_hex"]), case["key_bits"] // 8
    if not has_hash(case["hash"]):
        with pytest.raises(CipherError, match=case["hash"]):
            hashed_key(Passphrase(passphrase), case["hash"], key_bytes)
        return
    if "error" in case:
        with pytest.raises(CipherError, match="length"):
            hashed_key(Passphrase(passphrase), case["hash"], key_bytes)
        return
    assert opened(hashed_key(Passphrase(passphrase), case["hash"], key_bytes)).hex() == case["key"]


def test_most_of_the_cases_name_hashes_that_are_had() -> None:
    assert {case["hash"] for case in HASHED if not has_hash(case["hash"])} <= {"whirlpool"}
    assert {"ripemd160", "sha256", "sha512", "plain"} <= {case["hash"] for case in HASHED if has_hash(case["hash"])}


@pytest.mark.parametrize("case", KEY_FILES, ids=lambda case: f"{case['hash']}-{case['options']}")
def test_a_key_file_is_for_handler_plain_as_cryptsetup_hashes_none(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(bytes.fromhex(ABOUT["keyfile_hex"]))
    options = dict(zip(case["options"][::2], case["options"][1::2], strict=True))
    part = KeyFile(
        path=str(path), skip_bytes=int(options.get("--keyfile-offset", 0)), size_bytes=case["key_bits"] // 8
    )
    attributes = KeystoreAttributes(handler="plain", cipher="aes-xts-plain64", key_size_bits=case["key_bits"])
    if case["key_bits"] < 256 or "cbc" in case["cipher"]:
        attributes = attributes.replace(cipher="aes-cbc-plain")
    with CredentialSource(part, print) as source, source.get("open", "x", "volume key") as credential:
        assert opened(PlainHandler().unlock(attributes, b"", credential)).hex() == case["key"]


def test_the_metadata_name_cipher_key_size_and_hash_and_nothing_is_stored() -> None:
    draft = HANDLER.draft(KeystoreRequest(cipher="aes-cbc-essiv:sha256", key_size_bits=256, key_hash="ripemd160"))
    assert (draft.image_bytes, draft.key_hash, draft.key_size_bits) == (0, "ripemd160", 256)
    assert HANDLER.draft(KeystoreRequest()).key_hash == "sha512"
    attributes = KeystoreAttributes(
        handler="hashed", cipher="aes-cbc-essiv:sha256", key_size_bits=256, key_hash="ripemd160"
    )
    case = next(case for case in HASHED if case["hash"] == "ripemd160" and case["key_bits"] == 256)
    credential = Passphrase(bytes.fromhex(case["passphrase_hex"]))
    assert opened(HANDLER.unlock(attributes, b"", credential)).hex() == case["key"]
    for change in ({"cipher": "x"}, {"key_size_bits": 8}, {"key_hash": ""}, {"key_hash": "sha256:99"}):
        with pytest.raises(KeystoreError, match="hashed keystore"):
            HANDLER.parameters(attributes.replace(**change), b"")


@pytest.mark.parametrize(
    ("text", "kind", "word"),
    [
        ("whirl", CipherError, "'whirl'"),
        ("sha256:", CipherError, "length"),
        ("sha256:x", CipherError, "length"),
        ("sha256:65", CipherError, "64"),
        ("sha256:-1", CipherError, "length"),
        ("sha\n", CipherError, "unknown hash"),
    ],
)
def test_hashes_that_cannot_be_meant_are_named(text: str, kind: type[CryptlvError], word: str) -> None:
    with pytest.raises(kind, match=word):
        HANDLER.draft(KeystoreRequest(key_hash=text))


def test_a_derivation_makes_no_sense_here() -> None:
    with pytest.raises(UsageError, match="--pbkdf"):
        HANDLER.draft(KeystoreRequest(pbkdf="argon2id"))


def test_the_old_hash_is_for_old_volumes_only() -> None:
    assert parse_hash("md5:8", 16) == ("md5", 8)
    with pytest.raises(CipherError):
        check_hash("md5")
    assert opened(hashed_key(Passphrase(b"abc"), "plain:2", 4)) == b"ab\0\0"
