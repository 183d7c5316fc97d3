"""HTTP/1.1 as far as a model server needs it, on blocking sockets.

The other side is the endpoint's router: it sends one request at a time on a
connection, whole, with a Content-Length, and keeps the connection.
"""

from http import HTTPStatus

MAX_HEAD = 64 << 10
MAX_BODY = 256 << 20


class Refused(Exception):
    """A request that is answered with an error and read no further."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Request:
    """One request. headers has lower-case names; body is bytes."""

    __slots__ = ("method", "path", "headers", "body")

    def __init__(self, method, path, headers, body=b""):
        self.method, self.path, self.headers, self.body = method, path, headers, body


def read_request(conn):
    """Reads a whole request; None where the other side has gone away."""
    head, rest = _read_head(conn)
    if head is None:
        return None
    request = parse_head(head)
    size = _body_size(request.headers)
    if size > len(rest):
        rest = _read_body(conn, rest, size)
        if rest is None:
            return None
    request.body = bytes(rest)
    return request


def _read_head(conn):
    data = b""
    while True:
        chunk = conn.recv(MAX_HEAD)
        if not chunk:
            return None, b""
        data = data + chunk if data else chunk
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            return data[:end], data[end + 4 :]
        if len(data) > MAX_HEAD:
            raise Refused(431, "the request's headers are too large")


def parse_head(head):
    """Makes a Request, without its body, of the lines before the empty one."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3:
        raise Refused(400, "this is no HTTP request")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(parts[0], parts[1].partition("?")[0], headers)


def _body_size(headers):
    if "transfer-encoding" in headers:
        raise Refused(411, "the request needs a Content-Length")
    text = headers.get("content-length", "0")
    if not text.isdigit():
        raise Refused(400, "the Content-Length is no number")
    if int(text) > MAX_BODY:
        raise Refused(413, "the request's body is too large")
    return int(text)


def _read_body(conn, start, size):
    body = bytearray(size)
    body[: len(start)] = start
    view, at = memoryview(body), len(start)
    while at < size:
        n = conn.recv_into(view[at:])
        if n == 0:
            return None
        at += n
    return body


def answer(status, body, content_type="text/plain; charset=utf-8", headers=(), close=False):
    """The bytes of a response: body is bytes or str, headers are pairs."""
    if isinstance(body, str):
        body = body.encode("utf-8", "replace")
    lines = ["HTTP/1.1 %d %s" % (status, _phrase(status)), "Content-Length: %d" % len(body)]
    if content_type:
        lines.append("Content-Type: " + _one_line(content_type))
    lines.extend(_one_line(name) + ": " + _one_line(value) for name, value in headers)
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body


def _phrase(status):
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _one_line(text):
    """A script's own text must not begin another header."""
    return " ".join(str(text).split("\r\n")).replace("\n", " ").replace("\r", " ")
