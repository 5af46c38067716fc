"""lvcreate as a program: names, sizes, ciphers; the passphrase rules are in host/test_prompt.py."""

from __future__ import annotations

import pytest

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
