"""What the model server's parts do by themselves: run by serve_test.go."""

import socket
import sys
import unittest

sys.path.insert(0, sys.argv.pop(1))

from musher_toolkit import serve, serve_handlers, serve_http  # noqa: E402


class Handlers(unittest.TestCase):
    def test_types(self):
        for body, kind in ((b"[[1, 2], [3, 4]]", "application/json; charset=utf-8"), ("1,2\n3,4\n", "text/csv")):
            data = serve_handlers.decode(body, kind)
            self.assertEqual(getattr(data, "tolist", lambda: data)(), [[1, 2], [3, 4]])
            self.assertEqual(serve_handlers.encode(data, "image/png, application/json;q=0.5"), ("[[1.0, 2.0], [3.0, 4.0]]" if kind == "text/csv" else "[[1, 2], [3, 4]]", "application/json"))
        self.assertEqual(serve_handlers.encode([[1, 2.5], ["a", 3]], "text/csv"), ("1,2.5\na,3\n", "text/csv"))
        self.assertEqual(serve_handlers.encode(7, "text/csv"), ("7\n", "text/csv"))

    def test_unsupported(self):
        for act, status in ((lambda: serve_handlers.decode(b"", "image/png"), 415), (lambda: serve_handlers.encode(1, "image/png"), 406)):
            with self.assertRaises(serve_handlers.Unsupported) as caught:
                act()
            self.assertEqual(caught.exception.status_code, status)
        with self.assertRaisesRegex(TypeError, "define output_fn"):
            serve_handlers.encode(object(), "application/json")

    def test_context(self):
        seen = []
        for function in (lambda a, b: seen.append((a, b)), lambda a, b, c: seen.append((a, b, c)), lambda *all: seen.append(all)):
            serve_handlers.with_context(function, 2)("context", 1, 2)
        self.assertEqual(seen, [(1, 2), (1, 2, "context"), (1, 2)])
        with self.assertRaisesRegex(TypeError, "must take 2, or 3 with the context"):
            serve_handlers.with_context(lambda a: a, 2)


class HTTP(unittest.TestCase):
    def read(self, data):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            return serve_http.read_request(ours)

    def test_request(self):
        r = self.read(b"POST /invocations?x=1 HTTP/1.1\r\nContent-Type: a/b\r\ncontent-length: 3\r\n\r\nabc")
        self.assertEqual((r.method, r.path, r.headers["content-type"], r.body), ("POST", "/invocations", "a/b", b"abc"))
        for cut in (b"", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na"):
            self.assertIsNone(self.read(cut))

    def test_refused(self):
        for data, status in (
            (b"nonsense\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            (b"POST / HTTP/1.1\r\nX: " + b"x" * (serve_http.MAX_HEAD + 1), 431),
        ):
            with self.assertRaises(serve_http.Refused) as caught:
                self.read(data)
            self.assertEqual(caught.exception.status, status)

    def test_answer_has_no_other_headers(self):
        data = serve_http.answer(200, "x", "a/b\r\nEvil: 1", [("Name", "v\nEvil: 2")])
        self.assertEqual(data, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Type: a/b Evil: 1\r\nName: v Evil: 2\r\n\r\nx")


class Options(unittest.TestCase):
    def test_code_folder(self):
        here = sys.path[0]
        self.assertEqual(serve.code_folder(here, "/opt/ml/model/musher_toolkit"), here + "/musher_toolkit")
        self.assertEqual(serve.code_folder(here, "file:///opt/ml/model/musher_toolkit"), here + "/musher_toolkit")
        for elsewhere in ("", "s3://bucket/key", "/opt/ml/modelling", "/nonesuch"):
            self.assertEqual(serve.code_folder(here, elsewhere), here + "/code")


if __name__ == "__main__":
    unittest.main()
