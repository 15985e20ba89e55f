"""goridge frames and the calls that are measured."""

import socket
import struct
import zlib

PROTO, JSON = 0x80, 0x08
KEY, VALUE = b"user:1234:profile", b"x" * 100


def frame(method: str, body: bytes, codec: int, sequence: int = 0) -> bytes:
    payload = method.encode() + body
    head = struct.pack("<BBI", 0x15, codec, len(payload))
    return head + struct.pack("<IxxII", zlib.crc32(head), sequence, len(method)) + payload


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field of a protobuf message; everything here is shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


def item(key: bytes, value: bytes = b"") -> bytes:
    return field(2, field(1, key) + (field(2, value) if value else b""))


STORE = frame("kv.Set", field(1, b"mem") + item(KEY, VALUE), PROTO)
CALLS = {
    "get": frame("kv.MGet", field(1, b"mem") + item(KEY), PROTO),
    "version": frame("rpc.Version", b"true", JSON),
}


def connect(address: str) -> socket.socket:
    if address.startswith("unix://"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address.removeprefix("unix://"))
    else:
        host, port = address.removeprefix("tcp://").split(":")
        connection = socket.create_connection((host, int(port)))
    connection.settimeout(5)
    return connection


def ask(address: str, call: bytes) -> bytes:
    """One call on a connection of its own; the answer's whole frame, which must be no error."""
    with connect(address) as connection:
        connection.sendall(call)
        got = b""
        while len(got) < 20 or len(got) < 20 + struct.unpack_from("<I", got, 2)[0]:
            piece = connection.recv(65536)
            if not piece:
                raise RuntimeError(f"{address} has closed the connection")
            got += piece
    if got[1] & 0x40:
        raise RuntimeError(f"{address}: {got[20:].decode(errors='replace')}")
    return got
