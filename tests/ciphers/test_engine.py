"""The seam to the sector engine: what it takes, what it refuses, and what it says when packages are missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import cryptlv
from cryptlv.ciphers.engine import SECTOR_SIZES, open_sector_cipher
from cryptlv.errors import CipherError
from cryptlv.secret import VolumeKey

_SOURCES = str(Path(cryptlv.__file__).parent.parent)


def test_a_sector_is_encrypted_as_the_library_does_it() -> None:
    raw = bytes(range(64))
    cipher = open_sector_cipher("aes-xts-plain64", VolumeKey(raw))
    assert cipher.sector_size == 512
    buffer = bytearray(b"\x5a" * 512)
    cipher.encrypt(buffer, 12345)
    stock = Cipher(algorithms.AES(raw), modes.XTS((12345).to_bytes(16, "little"))).encryptor()
    assert buffer == stock.update(b"\x5a" * 512)
    cipher.decrypt(buffer, 12345)
    assert buffer == b"\x5a" * 512
    cipher.close()


def test_dm_crypts_sector_sizes_are_taken() -> None:
    assert SECTOR_SIZES == (512, 1024, 2048, 4096)
    for size in SECTOR_SIZES:
        assert open_sector_cipher("aes-cbc-plain64", VolumeKey(bytes(16)), size).sector_size == size


def test_large_sector_ivs_divide_the_number_of_the_first_sector() -> None:
    raw = bytes(range(64))
    buffer = bytearray(4096)
    open_sector_cipher("aes-xts-plain64", VolumeKey(raw), 4096, iv_large_sectors=True).encrypt(buffer, 8 * 77)
    stock = Cipher(algorithms.AES(raw), modes.XTS((77).to_bytes(16, "little"))).encryptor()
    assert buffer == stock.update(bytes(4096))


@pytest.mark.parametrize("size", [0, -512, 1, 256, 513, 768, 8192, 65536])
def test_another_sector_size_is_refused_by_number(size: int) -> None:
    with pytest.raises(CipherError, match=f"sector size {size} "):
        open_sector_cipher("aes-xts-plain64", VolumeKey(bytes(range(64))), size)


@pytest.mark.parametrize("key_bytes", [0, 1, 16, 31, 33, 48, 63, 65, 128])
def test_a_key_of_another_length_is_refused(key_bytes: int) -> None:
    with pytest.raises(CipherError, match=f"aes-xts-plain64 takes a key of 256 or 512 bits, not {key_bytes * 8}"):
        open_sector_cipher("aes-xts-plain64", VolumeKey(bytes(key_bytes)))


@pytest.mark.parametrize("spec", ["serpent-xts-plain64", "aes-ctr-plain64", "aes-xts-plain64be", "aes-xts-random"])
def test_an_unknown_specification_is_refused_by_name(spec: str) -> None:
    with pytest.raises(CipherError, match=spec):
        open_sector_cipher(spec, VolumeKey(bytes(64)))


def test_a_refusal_does_not_show_the_key() -> None:
    raw = b"SECRETkeySECRETkeySECRETkey"
    with pytest.raises(CipherError) as caught:
        open_sector_cipher("aes-xts-plain64", VolumeKey(raw))
    assert "SECRET" not in str(caught.value)
    assert raw.hex() not in str(caught.value)


def _without_site_packages(code: str) -> subprocess.CompletedProcess[str]:
    start = f"import sys; sys.path.insert(0, {_SOURCES!r})\n"
    return subprocess.run([sys.executable, "-S", "-c", start + code], capture_output=True, text=True, check=False)


def test_without_its_packages_the_error_says_what_to_install() -> None:
    done = _without_site_packages(
        "from cryptlv.ciphers.engine import open_sector_cipher\n"
        "from cryptlv.secret import VolumeKey\n"
        "from cryptlv.errors import CipherError\n"
        "try:\n"
        "    open_sector_cipher('aes-xts-plain64', VolumeKey(bytes(range(64))))\n"
        "except CipherError as error:\n"
        "    print(error)\n"
    )
    assert done.stderr == ""
    assert "pip install 'cryptlv[crypto]'" in done.stdout
    assert "numpy" in done.stdout or "cryptography" in done.stdout


def test_the_seam_itself_needs_the_standard_library_alone() -> None:
    done = _without_site_packages(
        "import cryptlv.ciphers.engine, cryptlv.ciphers.kdf, cryptlv.ciphers.afsplit, cryptlv.ciphers.spec\n"
        "print(sorted({'numpy', 'cryptography'} & set(sys.modules)))\n"
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"
