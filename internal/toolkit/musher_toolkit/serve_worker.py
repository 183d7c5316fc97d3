"""One interpreter of a model server: it loads the script and its model, and
then answers the requests that the dispatcher (serve.py) hands it.

    python start.py serve_worker CHANNEL MODEL CODE PROGRAM FRAMEWORK

CHANNEL is the number of an open SOCK_SEQPACKET socket. On it the dispatcher
sends a connection that has a request to read, one byte and the descriptor; the
worker says, one message each:

    R        the model is loaded
    F text   it cannot be loaded, and why; the worker ends
    A        a large answer is about to be written: from now on nobody else may
             answer on that connection
    D        the request is answered, the connection goes on
    C        the connection is done for
"""

import array
import os
import signal
import socket
import sys
import time
import traceback

from musher_toolkit import serve_handlers, serve_http

LARGE = 64 << 10  # what a socket takes whole


def main():
    argv = sys.argv[2:]
    channel = socket.socket(fileno=int(argv[0]))
    channel.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the dispatcher says when to end
    model_dir, code_dir, program, framework = argv[1:5]
    leave_path()
    try:
        worker = Worker(channel, model_dir, code_dir, program, framework)
    except BaseException as e:  # SystemExit too: a script that exits has not loaded
        traceback.print_exc()
        channel.send(b"F" + last_line(e).encode("utf-8", "replace")[:2000])
        return 1
    channel.send(b"R")
    return worker.serve()


def leave_path():
    """Takes the toolkit's folders out of the path: a script that imports log
    means its own."""
    package = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if p not in (package, os.path.dirname(package))]
    sys.argv = sys.argv[:1]


def last_line(e):
    """The end of a traceback: the error itself."""
    return "".join(traceback.format_exception_only(type(e), e)).strip()


class Worker:
    def __init__(self, channel, model_dir, code_dir, program, framework):
        self.channel, self.model_dir = channel, model_dir
        self.default_accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or serve_handlers.JSON
        module = serve_handlers.load_module(code_dir, model_dir, program)
        self.script = serve_handlers.Script(module, serve_handlers.DEFAULTS[framework])
        self.model = self.script.load(model_dir)

    def serve(self):
        """Answers until the dispatcher closes the channel."""
        while True:
            conn = receive_connection(self.channel)
            if conn is None:
                return 0
            with conn:
                outcome = self.exchange(conn)
            try:
                self.channel.send(outcome)
            except OSError:
                return 0  # the dispatcher is gone

    def exchange(self, conn):
        """Reads one request and answers it; says what becomes of the
        connection."""
        try:
            request = serve_http.read_request(conn)
        except serve_http.Refused as e:
            return self.send(conn, serve_http.answer(e.status, str(e), close=True), b"C")
        except OSError:
            return b"C"
        if request is None:
            return b"C"
        return self.send(conn, self.respond(request), b"D")

    def send(self, conn, data, then):
        if len(data) > LARGE:
            self.channel.send(b"A")
        try:
            conn.sendall(data)
        except OSError:
            return b"C"  # nobody waits for the answer any more
        return then

    def respond(self, request):
        if request.path != "/invocations":
            return serve_http.answer(404, "there is /ping and /invocations")
        if request.method != "POST":
            return serve_http.answer(405, "send a POST")
        began = time.perf_counter()
        context = serve_handlers.Context(self.model_dir, request.headers)
        try:
            answer = self.invoke(context, request)
        except Exception as e:
            answer = explain(e)
        print_slow(time.perf_counter() - began)
        return answer

    def invoke(self, context, request):
        accept = request.headers.get("accept") or "*/*"
        if accept.strip() == "*/*":
            accept = self.default_accept
        content_type = request.headers.get("content-type") or serve_handlers.JSON
        body, kind = self.script.run(context, self.model, request.body, content_type, accept)
        return serve_http.answer(context.status, as_bytes(body), kind, context.answer_headers.items())


def print_slow(seconds):
    """The log tells which requests took long; the others would fill it."""
    if seconds > 10:
        print("musher: a request took %.1f s" % seconds, flush=True)


def as_bytes(body):
    """What output_fn and transform_fn may return, as it is sent."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    if isinstance(body, str):
        return body.encode("utf-8")
    if body is None:
        return b""
    return serve_handlers.encode(body, serve_handlers.JSON)[0].encode("utf-8")


def explain(e):
    """The answer for an error in the script: its traceback goes to the log,
    its last line to the client. Errors that know an HTTP status of their own,
    as those of the inference toolkit do, are taken at their word."""
    if not isinstance(e, serve_handlers.Unsupported):
        traceback.print_exception(type(e), e, e.__traceback__)
        sys.stderr.flush()
    status = getattr(e, "status_code", None)
    if not isinstance(status, int) or not 400 <= status <= 599:
        return serve_http.answer(500, last_line(e))
    return serve_http.answer(int(status), str(getattr(e, "message", None) or e))


def receive_connection(channel):
    """The next connection, or None when there will be no more."""
    data, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(4))
    if not data:
        return None
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptors[0])
