"""The NBD protocol's messages, as bytes and values (NetworkBlockDevice doc/proto.md). Big endian, no I/O.

Fixed newstyle negotiation: the server greets, the client sends its flags and then options, until one of them
(EXPORT_NAME or GO) begins the transmission of requests and replies. Replies to reads and block status are structured
ones, in chunks, where the client has asked for them; all others are simple.
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
CHUNK_MAGIC = 0x668E33EF

FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES = 1, 2
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS, OPT_INFO, OPT_GO = 1, 2, 3, 5, 6, 7
OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT = 8, 9, 10
REP_ACK, REP_SERVER, REP_INFO, REP_META_CONTEXT = 1, 2, 3, 4
REP_ERR_UNSUP, REP_ERR_POLICY, REP_ERR_INVALID = 0x80000001, 0x80000002, 0x80000003
REP_ERR_TLS_REQD, REP_ERR_UNKNOWN, REP_ERR_TOO_BIG = 0x80000005, 0x80000006, 0x80000009
INFO_EXPORT, INFO_NAME, INFO_BLOCK_SIZE = 0, 1, 3

HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES = 1, 2, 4, 8, 32, 64
SEND_DF, CAN_MULTI_CONN, SEND_CACHE = 128, 256, 1024
CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES = 0, 1, 2, 3, 4, 5, 6
CMD_BLOCK_STATUS = 7
CMD_FLAG_FUA, CMD_FLAG_NO_HOLE, CMD_FLAG_DF, CMD_FLAG_REQ_ONE = 1, 2, 4, 8
_EXTRA_FLAGS = {CMD_READ: CMD_FLAG_DF, CMD_WRITE_ZEROES: CMD_FLAG_NO_HOLE, CMD_BLOCK_STATUS: CMD_FLAG_REQ_ONE}
"""What each command may have besides FUA, which is allowed everywhere."""
_COMMANDS = (CMD_READ, CMD_WRITE, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES, CMD_BLOCK_STATUS)
_READING = (CMD_READ, CMD_CACHE, CMD_BLOCK_STATUS)
CHUNK_DONE = 1
CHUNK_NONE, CHUNK_DATA, CHUNK_BLOCK_STATUS, CHUNK_ERROR = 0, 1, 5, 0x8001
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108

ALLOCATION = b"base:allocation"
ALLOCATION_ID = 1
STATE_HOLE, STATE_ZERO = 1, 2

MAX_OPTION_BYTES = 64 * 1024
MAX_NAME_BYTES = 4096
MAX_REQUEST_BYTES = 32 * 1024 * 1024
PREFERRED_BLOCK_BYTES = 4096

_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
REPLY_HEAD = struct.Struct(">IIQ")
"""Of a simple reply: magic, error, cookie."""
DATA_HEAD = struct.Struct(">IHHQIQ")
"""Of a chunk of data: magic, flags, type, cookie, bytes that follow from the offset on, offset."""
_CHUNK_HEAD = struct.Struct(">IHHQI")
OPTION_HEAD_BYTES = _OPTION.size
REQUEST_BYTES = _REQUEST.size
unpack_request = _REQUEST.unpack_from
"""(magic, flags, command, cookie, offset, length) of a request's header: the numbers, unchecked."""


class Export(Record):
    """What a client is told of an export."""

    name: str
    size_bytes: int
    writable: bool

    @property
    def flags(self) -> int:
        """The transmission flags, without those that only structured replies bring."""
        flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN | SEND_CACHE
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


def decode_meta_request(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """The export's name and the queries of LIST_META_CONTEXT and SET_META_CONTEXT; raises FormatError."""
    name, position = _string(data, 0)
    if position + 4 > len(data):
        raise FormatError("option is cut off", field="option")
    (count,) = struct.unpack_from(">I", data, position)
    position += 4
    if count > (len(data) - position) // 4:
        raise FormatError("list of queries does not fit its option", field="option")
    queries = []
    for _ in range(count):
        query, position = _string(data, position)
        queries.append(query)
    if position != len(data):
        raise FormatError("list of queries does not fit its option", field="option")
    return name, tuple(queries)


def _string(data: bytes, position: int) -> tuple[bytes, int]:
    if position + 4 > len(data):
        raise FormatError("option is cut off", field="option")
    (length,) = struct.unpack_from(">I", data, position)
    end = position + 4 + length
    if length > MAX_NAME_BYTES or end > len(data):
        raise FormatError("name does not fit into its option", field="name")
    return data[position + 4 : end], end


def is_allocation_wanted(queries: tuple[bytes, ...], *, listing: bool) -> bool:
    """Whether queries mean base:allocation, the one context that there is; a list may ask for all of a namespace."""
    if listing:
        return not queries or ALLOCATION in queries or b"base:" in queries
    return ALLOCATION in queries


def encode_meta_context(*, listing: bool) -> bytes:
    """The context, with the number that it has in replies; a list has none."""
    return struct.pack(">I", 0 if listing else ALLOCATION_ID) + ALLOCATION


def encode_export_info(export: Export, *, structured: bool = False) -> bytes:
    """The INFO_EXPORT of a reply to INFO or GO."""
    return struct.pack(">HQH", INFO_EXPORT, export.size_bytes, export.flags | SEND_DF * structured)


def encode_block_size_info() -> bytes:
    """The INFO_BLOCK_SIZE: any alignment is served, 4096 bytes are liked, 32 MiB are the most."""
    return struct.pack(">HIII", INFO_BLOCK_SIZE, 1, PREFERRED_BLOCK_BYTES, MAX_REQUEST_BYTES)


def encode_export_name_reply(export: Export, *, zeroes: bool, structured: bool = False) -> bytes:
    """The answer to EXPORT_NAME, with 124 zero bytes for clients that did not decline them."""
    flags = export.flags | SEND_DF * structured
    return struct.pack(">QH", export.size_bytes, flags) + bytes(124 if zeroes else 0)


def encode_server(name: str) -> bytes:
    """An export's entry in the answer to LIST."""
    raw = name.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(raw)) + raw


def encode_reply(cookie: int, error: int = 0) -> bytes:
    """A simple reply; the data of a read follow it."""
    return REPLY_HEAD.pack(SIMPLE_REPLY_MAGIC, error, cookie)


def encode_chunk(cookie: int, kind: int, data: bytes = b"") -> bytes:
    """The last chunk of a structured reply."""
    return _CHUNK_HEAD.pack(CHUNK_MAGIC, CHUNK_DONE, kind, cookie, len(data)) + data


def encode_error_chunk(cookie: int, error: int) -> bytes:
    """The end of a structured reply that failed, without words."""
    return encode_chunk(cookie, CHUNK_ERROR, struct.pack(">IH", error, 0))


def encode_status_chunk(cookie: int, extents: list[tuple[int, int]]) -> bytes:
    """Block status: (length, state) pairs of base:allocation."""
    numbers = [number for extent in extents for number in extent]
    return encode_chunk(cookie, CHUNK_BLOCK_STATUS, struct.pack(f">I{len(numbers)}I", ALLOCATION_ID, *numbers))


def check_request(request: Request, export: Export, *, structured: bool = False, contexts: bool = False) -> int:
    """The error number that a request deserves before it is tried, 0 for none.

    `structured` says whether structured replies were negotiated, `contexts` whether a context for block status was.
    """
    command, flags = request.command, request.flags
    if command not in _COMMANDS or flags & ~(CMD_FLAG_FUA | _EXTRA_FLAGS.get(command, 0)):
        return EINVAL
    if command == CMD_BLOCK_STATUS and not (contexts and request.length_bytes):
        return EINVAL
    if flags & CMD_FLAG_DF and not structured:
        return EINVAL
    return 0 if command == CMD_FLUSH else _check_range(request, export)


def _check_range(request: Request, export: Export) -> int:
    if request.command not in _READING and not export.writable:
        return EPERM
    if request.command == CMD_READ and request.length_bytes > MAX_REQUEST_BYTES:
        return EOVERFLOW
    if request.offset_bytes + request.length_bytes > export.size_bytes:
        return ENOSPC if request.command in (CMD_WRITE, CMD_WRITE_ZEROES) else EINVAL
    return 0
