"""NBD's messages against the bytes that the protocol document gives for them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptlv.activate import nbd_protocol as protocol
from cryptlv.activate.nbd_protocol import Export, Request
from cryptlv.errors import FormatError

WRITABLE = Export(name="vg0/lv0", size_bytes=1 << 20, writable=True)
READ_ONLY = Export(name="vg0/lv0", size_bytes=1 << 20, writable=False)
U16, U32, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


def test_the_greeting_is_fixed_newstyle_without_needless_zeroes() -> None:
    assert protocol.greeting() == b"NBDMAGIC" + b"IHAVEOPT" + b"\x00\x03"


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_known_client_flags_are_taken(flags: int) -> None:
    assert protocol.decode_client_flags(struct.pack(">I", flags)) == flags


@pytest.mark.parametrize("flags", [4, 7, 0x80000000, 0xFFFFFFFF])
def test_unknown_client_flags_are_an_error(flags: int) -> None:
    with pytest.raises(FormatError):
        protocol.decode_client_flags(struct.pack(">I", flags))


def test_an_option_head_is_magic_number_and_length() -> None:
    assert protocol.decode_option_head(b"IHAVEOPT" + struct.pack(">II", 7, 22)) == (7, 22)
    assert protocol.OPTION_HEAD_BYTES == 16


@pytest.mark.parametrize("data", [b"IHAVEOPX" + bytes(8), bytes(16), b"IHAVEOPT" + struct.pack(">II", 7, 1 << 31)])
def test_a_wrong_magic_or_a_huge_option_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        protocol.decode_option_head(data)


@given(option=U32, kind=U32, data=st.binary(max_size=50))
def test_an_option_reply_is_magic_option_kind_length_and_data(option: int, kind: int, data: bytes) -> None:
    expected = struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data
    assert protocol.encode_option_reply(option, kind, data) == expected


@given(name=st.binary(max_size=300), informations=st.lists(U16, max_size=20))
def test_info_requests_are_read_whole(name: bytes, informations: list[int]) -> None:
    data = (
        struct.pack(">I", len(name)) + name + struct.pack(f">H{len(informations)}H", len(informations), *informations)
    )
    assert protocol.decode_info_request(data) == (name, tuple(informations))


@given(name=st.binary(max_size=20), informations=st.lists(U16, max_size=4), cut=st.integers(1, 40), more=st.binary())
def test_info_requests_that_are_cut_off_or_too_long_are_an_error(
    name: bytes, informations: list[int], cut: int, more: bytes
) -> None:
    data = (
        struct.pack(">I", len(name)) + name + struct.pack(f">H{len(informations)}H", len(informations), *informations)
    )
    with pytest.raises(FormatError):
        protocol.decode_info_request(data[: -min(cut, len(data))])
    with pytest.raises(FormatError):
        protocol.decode_info_request(data + more + b"x")


@given(data=st.binary(max_size=64))
def test_any_bytes_as_an_info_request_are_read_or_an_error(data: bytes) -> None:
    try:
        name, informations = protocol.decode_info_request(data)
    except FormatError:
        return
    assert 4 + len(name) + 2 + 2 * len(informations) == len(data)


def test_a_name_beyond_the_longest_string_is_an_error() -> None:
    for length, wrong in ((4096, False), (4097, True)):
        data = struct.pack(">I", length) + b"n" * length + bytes(2)
        if wrong:
            with pytest.raises(FormatError):
                protocol.decode_info_request(data)
        else:
            assert protocol.decode_info_request(data) == (b"n" * length, ())


def test_transmission_flags_are_what_the_export_can_do() -> None:
    has_flags, read_only, flush, fua, trim, zeroes, df, multi, cache = (
        1 << bit for bit in (0, 1, 2, 3, 5, 6, 7, 8, 10)
    )
    assert WRITABLE.flags == has_flags | flush | fua | trim | zeroes | multi | cache
    assert protocol.encode_export_info(WRITABLE, structured=True)[10:] == struct.pack(">H", WRITABLE.flags | df)
    assert READ_ONLY.flags & (has_flags | read_only | flush | trim | zeroes) == has_flags | read_only | flush


def test_infos_are_type_and_fields() -> None:
    info = protocol.encode_export_info(WRITABLE)
    assert info == struct.pack(">HQH", 0, 1 << 20, WRITABLE.flags)
    kind, smallest, liked, most = struct.unpack(">HIII", protocol.encode_block_size_info())
    assert kind == 3
    assert smallest == 1
    assert liked & (liked - 1) == 0
    assert liked >= 512
    assert most >= 32 << 20
    assert most % liked == 0


def test_the_reply_to_export_name_ends_with_124_zeroes_unless_declined() -> None:
    head = struct.pack(">QH", 1 << 20, WRITABLE.flags)
    assert protocol.encode_export_name_reply(WRITABLE, zeroes=True) == head + bytes(124)
    assert protocol.encode_export_name_reply(WRITABLE, zeroes=False) == head


def test_a_list_entry_is_length_and_name_in_utf8() -> None:
    assert protocol.encode_server("vg0/lvü") == b"\x00\x00\x00\x08vg0/lv\xc3\xbc"


@given(flags=U16, command=U16, cookie=U64, offset=U64, length=U32, before=st.binary(max_size=9))
def test_requests_are_read_from_anywhere_in_a_buffer(
    flags: int, command: int, cookie: int, offset: int, length: int, before: bytes
) -> None:
    numbers = (0x25609513, flags, command, cookie, offset, length)
    data = before + struct.pack(">IHHQQI", *numbers)
    assert protocol.unpack_request(bytearray(data), len(before)) == numbers
    assert protocol.REQUEST_BYTES == 28
    assert protocol.REQUEST_MAGIC == 0x25609513


@given(cookie=U64, error=U32)
def test_a_reply_is_magic_error_and_cookie(cookie: int, error: int) -> None:
    assert protocol.encode_reply(cookie, error) == struct.pack(">IIQ", 0x67446698, error, cookie)


READ, WRITE, FLUSH, TRIM, ZEROES = 0, 1, 3, 4, 6
FUA, NO_HOLE, FAST_ZERO = 1, 2, 16


@pytest.mark.parametrize(
    ("export", "command", "flags", "offset", "length", "error"),
    [
        (WRITABLE, READ, 0, 0, 1 << 20, 0),
        (WRITABLE, READ, 0, 1 << 20, 0, 0),
        (WRITABLE, READ, 0, 1 << 20, 1, 22),
        (WRITABLE, READ, 0, 2**64 - 1, 2**32 - 1, 75),
        (WRITABLE, READ, NO_HOLE, 0, 1, 22),
        (WRITABLE, WRITE, FUA, 0, 1 << 20, 0),
        (WRITABLE, WRITE, 0, 1, 1 << 20, 28),
        (WRITABLE, WRITE, NO_HOLE, 0, 1, 22),
        (WRITABLE, WRITE, 0x8000, 0, 1, 22),
        (WRITABLE, ZEROES, FUA | NO_HOLE, 0, 1 << 20, 0),
        (WRITABLE, ZEROES, FAST_ZERO, 0, 1, 22),
        (WRITABLE, ZEROES, 0, 1, 1 << 20, 28),
        (WRITABLE, TRIM, FUA, 0, 1 << 20, 0),
        (WRITABLE, TRIM, 0, 0, (1 << 20) + 1, 22),
        (WRITABLE, FLUSH, 0, 0, 0, 0),
        (WRITABLE, 5, 0, 0, 1, 0),
        (WRITABLE, 5, 0, 1 << 20, 1, 22),
        (READ_ONLY, 5, 0, 0, 1, 0),
        (WRITABLE, 7, 0, 0, 1, 22),
        (WRITABLE, 0xFFFF, 0, 0, 1, 22),
        (READ_ONLY, READ, 0, 0, 1 << 20, 0),
        (READ_ONLY, FLUSH, 0, 0, 0, 0),
        (READ_ONLY, WRITE, 0, 0, 1, 1),
        (READ_ONLY, ZEROES, 0, 0, 1, 1),
        (READ_ONLY, TRIM, 0, 0, 1, 1),
    ],
)
def test_requests_get_the_error_that_the_protocol_names(
    export: Export, command: int, flags: int, offset: int, length: int, error: int
) -> None:
    """EPERM for a read-only export, ENOSPC for writing and EINVAL for reading beyond the end, EINVAL for what is
    unknown, EOVERFLOW for a read that is too large."""
    request = Request(flags=flags, command=command, cookie=1, offset_bytes=offset, length_bytes=length)
    assert protocol.check_request(request, export) == error


@pytest.mark.parametrize(
    ("structured", "contexts", "command", "flags", "length", "error"),
    [
        (True, False, READ, 4, 1, 0),
        (False, False, READ, 4, 1, 22),
        (True, True, WRITE, 4, 1, 22),
        (True, True, 7, 0, 1, 0),
        (True, True, 7, 8, 1 << 20, 0),
        (True, True, 7, 0, 0, 22),
        (True, True, 7, 0, (1 << 20) + 1, 22),
        (True, False, 7, 0, 1, 22),
        (True, True, READ, 8, 1, 22),
    ],
)
def test_what_was_negotiated_says_which_requests_are_right(
    structured: bool, contexts: bool, command: int, flags: int, length: int, error: int
) -> None:
    """DF (4) is for reads with structured replies, REQ_ONE (8) for block status (7), which needs a context."""
    request = Request(flags=flags, command=command, cookie=1, offset_bytes=0, length_bytes=length)
    assert protocol.check_request(request, WRITABLE, structured=structured, contexts=contexts) == error


def string(text: bytes) -> bytes:
    """A string as options have it."""
    return struct.pack(">I", len(text)) + text


@given(name=st.binary(max_size=30), queries=st.lists(st.binary(max_size=30), max_size=6), more=st.binary(min_size=1))
def test_meta_context_requests_are_read_whole_or_an_error(name: bytes, queries: list[bytes], more: bytes) -> None:
    data = string(name) + struct.pack(">I", len(queries)) + b"".join(map(string, queries))
    assert protocol.decode_meta_request(data) == (name, tuple(queries))
    for wrong in (data[:-1], data + more, data[: len(name) + 3], string(name) + b"\xff" * 4 + data):
        with pytest.raises(FormatError):
            protocol.decode_meta_request(wrong)


@pytest.mark.parametrize(
    ("queries", "listed", "chosen"),
    [
        ((), True, False),
        ((b"base:",), True, False),
        ((b"base:allocation",), True, True),
        ((b"qemu:dirty", b"base:allocation"), True, True),
        ((b"base:allocations",), False, False),
        ((b"other:",), False, False),
    ],
)
def test_a_context_is_chosen_by_its_name_and_listed_by_its_namespace(
    queries: tuple[bytes, ...], listed: bool, chosen: bool
) -> None:
    assert protocol.is_allocation_wanted(queries, listing=True) is listed
    assert protocol.is_allocation_wanted(queries, listing=False) is chosen
    assert protocol.encode_meta_context(listing=False)[4:] == b"base:allocation"


@given(cookie=U64, error=U32, extents=st.lists(st.tuples(U32, U32), min_size=1, max_size=5))
def test_chunks_are_magic_flags_kind_cookie_length_and_data(
    cookie: int, error: int, extents: list[tuple[int, int]]
) -> None:
    head = struct.Struct(">IHHQI")
    assert protocol.encode_chunk(cookie, 0) == head.pack(0x668E33EF, 1, 0, cookie, 0)
    assert protocol.encode_error_chunk(cookie, error) == head.pack(0x668E33EF, 1, 0x8001, cookie, 6) + struct.pack(
        ">IH", error, 0
    )
    chunk = protocol.encode_status_chunk(cookie, extents)
    context, *numbers = struct.unpack(f">I{2 * len(extents)}I", chunk[20:])
    assert chunk[:20] == head.pack(0x668E33EF, 1, 5, cookie, len(chunk) - 20)
    assert struct.pack(">I", context) == protocol.encode_meta_context(listing=False)[:4]
    assert list(zip(numbers[::2], numbers[1::2], strict=True)) == extents
