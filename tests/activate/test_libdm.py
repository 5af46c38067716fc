"""Tables in the library's memory, and keys in them that are never copied; the tasks are in the conformance suite."""

from __future__ import annotations

import ctypes

from cryptlv.activate import libdm
from cryptlv.model.stack import TableLine
from cryptlv.secret import VolumeKey

CRYPT = b"aes-xts-plain64 000102ff 0 8:0 2048 1 allow_discards"


def test_a_key_in_digits_is_found_and_left_out() -> None:
    view = memoryview(CRYPT)
    assert libdm.line_of("n", 8, 16, "crypt", view) == TableLine(
        start_sectors=8, length_sectors=16, kind="crypt",
        words=("aes-xts-plain64", "=n:8", "0", "8:0", "2048", "1", "allow_discards"),
    )  # fmt: skip
    place = libdm.digits_place("crypt", view)
    assert place is not None
    assert libdm.undigits(view[place[0] : place[1]]) == bytes((0, 1, 2, 255))
    for kind, params in (("linear", b"8:0 2048"), ("crypt", b"aes :64:logon:x 0 8:0 0"), ("crypt", b"c - 0 8:0 0")):
        assert libdm.digits_place(kind, memoryview(params)) is None


def test_parameters_have_the_keys_digits_and_are_wiped() -> None:
    words = ("aes", "=s", "0", "8:0", "7")
    with VolumeKey(bytes((0, 1, 2, 255))) as key, libdm.joined(words, {"=s": key}) as buffer:
        assert buffer.value == b"aes 000102ff 0 8:0 7"
    assert bytes(buffer) == bytes(len(buffer))


def test_text_in_memory_is_measured_without_a_copy() -> None:
    text = ctypes.create_string_buffer(b"four")
    assert (libdm.len_at(ctypes.addressof(text)), libdm.len_at(None)) == (4, 0)
