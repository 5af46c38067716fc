"""The seam to the sector engine: what it takes, what it refuses, and what it says when packages are missing."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import cryptlv
from cryptlv.ciphers.engine import ENGINES, fastest_engines, measure, open_sector_cipher
from cryptlv.ciphers.spec import SECTOR_SIZES, parse_cipher_spec
from cryptlv.errors import CipherError
from cryptlv.libraries import LIBRARIES
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


@pytest.mark.parametrize("key_bytes", [0, 1, 16, 31, 33, 63, 65, 128])
def test_a_key_of_another_length_is_refused(key_bytes: int) -> None:
    with pytest.raises(
        CipherError, match=f"aes-xts-plain64 takes a key of 256 or 384 or 512 bits, not {key_bytes * 8}"
    ):
        open_sector_cipher("aes-xts-plain64", VolumeKey(bytes(key_bytes)))


@pytest.mark.parametrize("spec", ["cast6-xts-plain64", "aes-cfb-plain64", "aes-cbc-tcw", "aes-xts-random"])
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


_NATIVE = """
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.secret import VolumeKey
buffer = bytearray(512)
cipher = open_sector_cipher("aes-xts-plain64", VolumeKey(bytes(range(64))))
cipher.encrypt(buffer, 12345)
print(buffer.hex(), *cipher.engines)
"""


def test_the_native_engines_need_the_standard_library_alone() -> None:
    done = _without_site_packages(_NATIVE)
    stock = Cipher(algorithms.AES(bytes(range(64))), modes.XTS((12345).to_bytes(16, "little"))).encryptor()
    found, *engines = done.stdout.split()
    assert (found, done.stderr) == (stock.update(bytes(512)).hex(), "")
    assert set(engines) <= set(LIBRARIES)


def test_without_the_native_part_numpy_serves() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['cryptlv.ciphers._sectors'] = None\n{_NATIVE}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[1:] == ["numpy", "numpy"]


@pytest.mark.parametrize("spec", ["aes-xts-plain64", "serpent-cbc-plain64", "camellia-ctr-plain64"])
def test_without_the_libraries_the_error_names_what_is_missing_or_numpy_serves(spec: str) -> None:
    """Names that the loader does not know stand for libraries that are not installed."""
    code = f"""
import cryptlv.libraries as libraries
libraries._GCRYPT_SONAMES = ("libgcrypt.so.none",)
libraries._OPENSSL_SONAMES = ("libcrypto.so.none", "libcrypto.so.other")
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.errors import CipherError
from cryptlv.libraries import LIBRARIES
from cryptlv.secret import VolumeKey
try:
    print(*open_sector_cipher({spec!r}, VolumeKey(bytes(range(32)))).engines)
except CipherError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    if spec.startswith("aes"):
        assert out == "numpy numpy\n"
    else:
        assert out.startswith(f"cipher {spec.partition('-')[0]} cannot be had here: libgcrypt.so.none: ")
        assert "libcrypto.so.none: " in out


def test_without_its_packages_the_error_says_what_to_install() -> None:
    done = _without_site_packages(
        "from cryptlv.ciphers.engine import open_sector_cipher\n"
        "from cryptlv.secret import VolumeKey\n"
        "from cryptlv.errors import CipherError\n"
        "try:\n"
        "    open_sector_cipher('aes-lrw-benbi', VolumeKey(bytes(range(48))))\n"
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


def test_an_xts_key_of_two_equal_halves_is_taken_as_the_kernel_takes_it() -> None:
    """OpenSSL refuses it, so another engine has to be found."""
    results = set()
    for engine in ("", "libgcrypt", "numpy"):
        buffer = bytearray(1024)
        open_sector_cipher("aes-xts-plain64", VolumeKey(bytes(64)), engine=engine).encrypt(buffer, 3)
        results.add(bytes(buffer))
    assert len(results) == 1
    with pytest.raises(CipherError, match="does not take this key"):
        open_sector_cipher("aes-xts-plain64", VolumeKey(bytes(64)), engine="openssl")


@pytest.mark.parametrize("spec", ["aes-xts-plain64", "aes-cbc-plain64", "aes-ctr-plain64", "camellia-cbc-plain"])
def test_the_fastest_of_the_native_engines_is_chosen_once(spec: str) -> None:
    parsed = parse_cipher_spec(spec)
    chosen = fastest_engines(parsed, 32, 512)
    assert set(chosen) <= set(LIBRARIES)
    assert fastest_engines(parsed, 32, 512) is chosen


def test_where_there_is_no_choice_nothing_is_measured() -> None:
    assert fastest_engines(parse_cipher_spec("serpent-xts-plain64"), 64, 512) == ("libgcrypt", "libgcrypt")
    assert fastest_engines(parse_cipher_spec("serpent-lrw-benbi"), 48, 512) == ("numpy", "numpy")


def test_speeds_are_measured_where_there_is_the_cipher() -> None:
    for engine in ENGINES:
        assert all(speed > 1e6 for speed in measure(parse_cipher_spec("aes-xts-plain64"), 64, 4096, engine))
    assert measure(parse_cipher_spec("serpent-xts-plain64"), 64, 512, "openssl") == (0, 0)


def test_a_cipher_that_is_closed_while_a_thread_is_at_work_forgets_that_threads_key_too() -> None:
    cipher = open_sector_cipher("serpent-xts-plain64", VolumeKey(bytes(range(64))))
    buffer = bytearray(8 * 2**20)

    def work() -> None:
        with suppress(ValueError):  # it may come too late
            cipher.encrypt(buffer, 0)

    thread = threading.Thread(target=work)
    thread.start()
    cipher.close()
    thread.join()
    assert cipher._idle == []
    with pytest.raises(ValueError, match="closed"):
        cipher.encrypt(bytearray(512), 0)


def test_threads_get_workers_of_their_own_which_are_used_again() -> None:
    cipher = open_sector_cipher("serpent-xts-plain64", VolumeKey(bytes(range(64))))
    buffers = [bytearray(4 * 2**20) for _ in range(3)]
    for _ in range(3):
        threads = [threading.Thread(target=cipher.encrypt, args=(buffer, 0)) for buffer in buffers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert buffers[0] == buffers[1] == buffers[2]
    assert 2 <= len(cipher._idle) <= 3
