"""A reader of dnstap: the handshake of Frame Streams, its frames, and the protobuf in them, taken apart by hand."""

import contextlib
import socket
import struct
import threading

CONTENT_TYPE = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5


class Reader:
    """Listens at a unix socket; `messages` holds what came, field by field. `is_deaf`: it takes nothing after the start."""

    def __init__(self, path, content_type=CONTENT_TYPE, is_deaf=False):
        self._path, self._content_type, self._is_deaf = path, content_type, is_deaf
        self.messages, self.ended, self.problems = [], threading.Event(), []
        self._connection = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection = connection
            with connection:
                try:
                    self._read(connection)
                except (EOFError, OSError):
                    pass

    def _read(self, connection):
        kind, fields = self._control(connection)
        assert (kind, fields) == (READY, CONTENT_TYPE), self.problems.append((kind, fields))
        answer = struct.pack(">III", ACCEPT, 1, len(self._content_type)) + self._content_type
        connection.sendall(struct.pack(">II", 0, len(answer)) + answer)
        kind, fields = self._control(connection)
        if (kind, fields) != (START, CONTENT_TYPE):
            self.problems.append((kind, fields))
        if self._is_deaf:
            self.ended.wait()
            return
        while True:
            [length] = struct.unpack(">I", _exactly(connection, 4))
            if length == 0:
                [length] = struct.unpack(">I", _exactly(connection, 4))
                if struct.unpack(">I", _exactly(connection, length)[:4]) == (STOP,):
                    connection.sendall(struct.pack(">III", 0, 4, FINISH))
                    self.ended.set()
                return
            self.messages.append(_dnstap(_exactly(connection, length)))

    def _control(self, connection):
        escape, length = struct.unpack(">II", _exactly(connection, 8))
        body = _exactly(connection, length)
        assert escape == 0
        [kind] = struct.unpack(">I", body[:4])
        return kind, body[12:]

    def close(self):
        self.ended.set()
        for one in (self._connection, self._listener):
            with contextlib.suppress(OSError, AttributeError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink()


def _exactly(connection, count):
    octets = b""
    while len(octets) < count:
        some = connection.recv(count - len(octets))
        if not some:
            raise EOFError
        octets += some
    return octets


def _dnstap(octets):
    """The fields of a `Dnstap`, those of its `message` among them by name."""
    outer = _fields(octets)
    assert outer[15] == 1
    message = _fields(outer[14])
    names = {
        1: "type", 2: "family", 3: "protocol", 4: "address", 6: "port", 8: "query_secs", 9: "query_nanos", 10: "query",
        12: "reply_secs", 13: "reply_nanos", 14: "reply",
    }  # fmt: skip
    return {"identity": outer[1], "version": outer[2], **{names[number]: value for number, value in message.items()}}


def _fields(octets):
    """Protobuf: field numbers and values."""
    at, found = 0, {}
    while at < len(octets):
        key, at = _varint(octets, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(octets, at)
        elif kind == 2:
            length, at = _varint(octets, at)
            value, at = octets[at : at + length], at + length
        else:
            assert kind == 5, kind
            [value] = struct.unpack("<I", octets[at : at + 4])
            at += 4
        found[key >> 3] = value
    return found


def _varint(octets, at):
    value = shift = 0
    while True:
        octet = octets[at]
        at += 1
        value |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return value, at
