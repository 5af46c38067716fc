"""The NBD protocol's messages, as bytes and values (NetworkBlockDevice doc/proto.md). Big endian, no I/O.

Fixed newstyle negotiation: the server greets, the client sends its flags and then options, until one of them
(EXPORT_NAME or GO) begins the transmission of requests and simple replies.
"""

from __future__ import annotations

import struct

from cryptlv.errors import FormatError
from cryptlv.record import Record

GREETING_MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x0003E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698

FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES = 1, 2
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS, OPT_INFO, OPT_GO = 1, 2, 3, 5, 6, 7
REP_ACK, REP_SERVER, REP_INFO = 1, 2, 3
REP_ERR_UNSUP, REP_ERR_POLICY, REP_ERR_INVALID = 0x80000001, 0x80000002, 0x80000003
REP_ERR_UNKNOWN, REP_ERR_TOO_BIG = 0x80000006, 0x80000009
INFO_EXPORT, INFO_NAME, INFO_BLOCK_SIZE = 0, 1, 3

HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, CAN_MULTI_CONN = 1, 2, 4, 8, 32, 64, 256
CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES = 0, 1, 2, 3, 4, 6
_COMMANDS = (CMD_READ, CMD_WRITE, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES)
CMD_FLAG_FUA, CMD_FLAG_NO_HOLE = 1, 2
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108

MAX_OPTION_BYTES = 64 * 1024
MAX_NAME_BYTES = 4096
MAX_REQUEST_BYTES = 32 * 1024 * 1024
PREFERRED_BLOCK_BYTES = 4096

_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
OPTION_HEAD_BYTES = _OPTION.size
REQUEST_BYTES = _REQUEST.size
REPLY_BYTES = _REPLY.size


class Export(Record):
    """What a client is told of an export."""

    name: str
    size_bytes: int
    writable: bool

    @property
    def flags(self) -> int:
        """The transmission flags."""
        flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN
        return flags | SEND_TRIM | SEND_WRITE_ZEROES if self.writable else flags | READ_ONLY


class Request(Record):
    """A request's header. `cookie` comes back in the reply."""

    flags: int
    command: int
    cookie: int
    offset_bytes: int
    length_bytes: int


def greeting() -> bytes:
    """What the server says first."""
    return GREETING_MAGIC + OPTION_MAGIC + struct.pack(">H", FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)


def decode_client_flags(data: bytes) -> int:
    """The client's flags; raises FormatError for unknown ones, at which a server closes the connection."""
    flags: int = struct.unpack(">I", data)[0]
    if flags & ~(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES):
        raise FormatError(f"client flags 0x{flags:x} are unknown", field="flags")
    return flags


def decode_option_head(data: bytes) -> tuple[int, int]:
    """(option, bytes that follow); raises FormatError when it is no option or too long to be read."""
    magic, option, length = _OPTION.unpack(data)
    if magic != OPTION_MAGIC:
        raise FormatError("not an option", field="option")
    if length > MAX_OPTION_BYTES:
        raise FormatError(f"option {option} of {length} bytes is too long", field="option")
    return option, length


def encode_option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    """A reply to an option."""
    return _OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def decode_info_request(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The export's name and the informations wanted, of INFO and GO; raises FormatError."""
    if len(data) < 6:
        raise FormatError("option is cut off", field="option")
    (length,) = struct.unpack_from(">I", data)
    if length > MAX_NAME_BYTES or 4 + length + 2 > len(data):
        raise FormatError("name does not fit into its option", field="name")
    (count,) = struct.unpack_from(">H", data, 4 + length)
    if len(data) != 6 + length + 2 * count:
        raise FormatError("list of informations does not fit its option", field="option")
    return data[4 : 4 + length], struct.unpack_from(f">{count}H", data, 6 + length)


def encode_export_info(export: Export) -> bytes:
    """The INFO_EXPORT of a reply to INFO or GO."""
    return struct.pack(">HQH", INFO_EXPORT, export.size_bytes, export.flags)


def encode_block_size_info() -> bytes:
    """The INFO_BLOCK_SIZE: any alignment is served, 4096 bytes are liked, 32 MiB are the most."""
    return struct.pack(">HIII", INFO_BLOCK_SIZE, 1, PREFERRED_BLOCK_BYTES, MAX_REQUEST_BYTES)


def encode_export_name_reply(export: Export, *, zeroes: bool) -> bytes:
    """The answer to EXPORT_NAME, with 124 zero bytes for clients that did not decline them."""
    return struct.pack(">QH", export.size_bytes, export.flags) + bytes(124 if zeroes else 0)


def encode_server(name: str) -> bytes:
    """An export's entry in the answer to LIST."""
    raw = name.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(raw)) + raw


def decode_request(data: bytes | bytearray | memoryview, offset: int = 0) -> Request:
    """A request's header of 28 bytes; raises FormatError when the magic is wrong."""
    magic, flags, command, cookie, start, length = _REQUEST.unpack_from(data, offset)
    if magic != REQUEST_MAGIC:
        raise FormatError("not a request", field="request")
    return Request(flags=flags, command=command, cookie=cookie, offset_bytes=start, length_bytes=length)


def encode_reply(cookie: int, error: int = 0) -> bytes:
    """A simple reply; the data of a read follow it."""
    return _REPLY.pack(SIMPLE_REPLY_MAGIC, error, cookie)


def check_request(request: Request, export: Export) -> int:
    """The error number that a request deserves before it is tried, 0 for none."""
    command, flags = request.command, request.flags
    allowed = CMD_FLAG_FUA | (CMD_FLAG_NO_HOLE if command == CMD_WRITE_ZEROES else 0)
    if command not in _COMMANDS or flags & ~allowed:
        return EINVAL
    if command == CMD_FLUSH:
        return 0
    if command != CMD_READ and not export.writable:
        return EPERM
    if command == CMD_READ and request.length_bytes > MAX_REQUEST_BYTES:
        return EOVERFLOW
    if request.offset_bytes + request.length_bytes > export.size_bytes:
        return ENOSPC if command in (CMD_WRITE, CMD_WRITE_ZEROES) else EINVAL
    return 0
