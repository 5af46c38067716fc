"""lvcreate as a program: names, sizes, ciphers; the passphrase rules are in host/test_prompt.py."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from support.machine import FAST, Machine


def test_a_size_is_rounded_up_to_extents_with_a_word(vg0: Machine) -> None:
    assert vg0.run("lvcreate", "-L", "5M", "-nx", "vg0").lines == [
        "Rounding up size to full physical extent 8.00m",
        'Logical volume "x" created.',
    ]
    vg0.run("lvcreate", "-an", "-Zn", "-Wy", "-L4m", "-n", "vg0/y")
    vg0.run("lvcreate", "-l1", "vg0", "b.img")
    names = [line.split() for line in vg0.run("lvs", "--noheadings", "-o", "name,size").lines]
    assert names == [["lvol0", "4.00m"], ["x", "8.00m"], ["y", "4.00m"]]


@pytest.mark.parametrize(
    ("options", "cipher", "bits"),
    [
        ((), "aes-xts-plain64", "512"),
        (("--keysize", "256"), "aes-xts-plain64", "256"),
        (("--cipher", "aes-cbc-essiv:sha256"), "aes-cbc-essiv:sha256", "256"),
        (("--cipher", "aes-cbc-plain", "--keysize", "128"), "aes-cbc-plain", "128"),
        (("--hash", "sha512"), "aes-xts-plain64", "512"),
    ],
)
def test_cipher_key_size_and_hash_are_the_users_choice(
    vg0: Machine, options: tuple[str, ...], cipher: str, bits: str
) -> None:
    vg0.run("lvcreate", "--type", "crypt", *FAST, *options, "-l1", "-nx", "vg0", given=b"passphrase\n")
    fields = "lv_name,crypt_cipher,crypt_keysize,crypt_handler,crypt_store"
    assert vg0.run("lvs", "--noheadings", "-o", fields).out.split() == [
        "x", cipher, bits, "luks2", "[cryptostore1]",
    ]  # fmt: skip
    path = vg0.run("lvchange", "-ay", "vg0/x", given=b"passphrase\n").lines[0]
    with open(path, "r+b") as file:
        assert file.read(4096) == bytes(4096)
        file.seek(1234)
        file.write(b"some words")
    vg0.run("lvchange", "-an", "vg0/x")
    assert b"some words" not in (vg0.folder / "a.img").read_bytes()


@pytest.mark.parametrize(
    ("size", "large", "backend"),
    [(512, False, "fuse"), (512, False, "nbd"), (4096, False, "fuse"), (4096, True, "fuse")],
)
def test_plain_volumes_have_the_ciphertext_that_was_asked_for(
    vg0: Machine, size: int, large: bool, backend: str
) -> None:
    """Row S15. The ciphertext is decrypted here, sector by sector, by another implementation of AES-XTS."""
    key = bytes(range(64))
    vg0.key_file("key", key)
    words = ("--sector-size", str(size), *(("--iv-large-sectors",) if large else ()))
    vg0.run("lvcreate", "--type", "crypt", "--handler", "plain", *words, "-l1", "-nx", "--keyfile", "key", "vg0")
    path = vg0.run("lvchange", "-ay", "--backend", backend, "--keyfile", "key", "vg0/x").lines[0]
    plain = random.Random(1).randbytes(5 * 4096)
    if backend == "nbd":
        image = vg0.key_file("plain", plain)
        vg0.tool("nbdcopy", image, f"nbd+unix:///?socket={path}")
    else:
        with open(path, "r+b") as file:
            file.write(plain)
    vg0.run("lvchange", "-an", "vg0/x")
    (start,) = vg0.run("pvs", "--noheadings", "--nosuffix", "--units", "b", "-o", "pe_start", "a.img").lines
    stored = (vg0.folder / "a.img").read_bytes()[int(start) :][: len(plain)]
    found = b""
    for number in range(len(plain) // size):
        tweak = (number if large else number * size // 512).to_bytes(16, "little")
        decryptor = Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor()
        found += decryptor.update(stored[size * number :][:size])
    assert found == plain
    assert "iv_large_sectors" not in vg0.fail("lvcreate", "--type", "crypt", "--iv-large-sectors", "-l1", "vg0")
    vg0.run("vgcfgbackup", "-f", "text", "vg0")
    text = (vg0.folder / "text").read_text()
    assert ("iv_large_sectors = 1" in text) is large
    assert ("sector_size = 4096" in text) is (size == 4096)
