"""A model server around a user's script: HTTP on a Unix socket, GET /ping and
POST /invocations, with as many interpreters as asked for.

    python -I -S start.py serve --socket S --model DIR [--code DIR]
        [--packages DIR] [--framework pytorch] [--workers N] [--load-seconds 240]

This process is the dispatcher. It runs none of the user's code, so nothing that
the script does can stop it:

    client ══ connection ══► dispatcher ── the descriptor ──► idle worker
                                  ▲                               │ reads, runs
                                  └──────── "D": answered ────────┘ and answers

A connection lies here between its requests. When one arrives, the descriptor
goes to an idle worker, which reads the request itself, and until it is answered
the dispatcher keeps a copy: if the worker dies or takes too long, the dispatcher
answers in its place and starts another worker. Requests that find no idle worker
wait in line. /ping is answered here, also while all workers are busy.

The server ends with 1 if a worker cannot load the script's model at the start.
A worker that is lost later is replaced, with a growing delay if it does no work
in between. SIGTERM lets what is under way finish.
"""

import argparse
import array
import collections
import glob
import os
import selectors
import signal
import socket
import subprocess
import sys
import time

from musher_toolkit import serve_http

MAX_WAITING = 1000  # requests in line
DRAIN_SECONDS = 25  # of the 30 between SIGTERM and SIGKILL
LONGEST_DELAY = 30

START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")
ADDRESS = "/opt/ml/model"  # where the cloud's images have the model


def main():
    options = parse(sys.argv[2:])
    listener = listen(options.socket)
    server = Server(options, listener)
    try:
        return server.run()
    finally:
        server.close()
        unlink(options.socket)


def parse(argv):
    """Reads the command line, and the variables that the inference toolkits
    read: those are the user's."""
    env = os.environ.get
    p = argparse.ArgumentParser(prog="serve")
    p.add_argument("--socket", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--code")
    p.add_argument("--packages")
    p.add_argument("--framework", default="base")
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--load-seconds", type=float, default=240)
    o = p.parse_args(argv)
    o.model = os.path.abspath(o.model)
    o.program = env("SAGEMAKER_PROGRAM") or ""
    o.code = o.code or code_folder(o.model, env("SAGEMAKER_SUBMIT_DIRECTORY") or "")
    o.workers = number(("SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_TS_MAX_WORKERS"), o.workers)
    o.seconds = number(("SAGEMAKER_TS_RESPONSE_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT"), 60)
    return o


def code_folder(model, submitted):
    """Where the script lies: SAGEMAKER_SUBMIT_DIRECTORY may name the model's
    folder as the cloud's images have it, which is elsewhere on a machine that
    cannot show it there."""
    path = submitted[len("file://") :] if submitted.startswith("file://") else submitted
    if path == ADDRESS or path.startswith(ADDRESS + "/"):
        path = model + path[len(ADDRESS) :]
    if path and os.path.isdir(path):
        return path
    return os.path.join(model, "code")


def number(names, default):
    for name in names:
        text = os.environ.get(name)
        if not text:
            continue
        if not text.isdigit() or int(text) < 1:
            raise SystemExit("%s is %s: it must be a whole number from 1 on" % (name, text))
        return int(text)
    return default


def listen(path):
    """Binds the socket, in place of one that an earlier process left."""
    unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder, name = os.path.split(os.path.abspath(path))
    os.chdir(folder)  # the path may be too long for the system call
    listener.bind(name)
    os.chmod(name, 0o600)
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def unlink(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def say(text):
    print("musher: " + text, flush=True)


LOADING, IDLE, BUSY, GONE = "loading", "idle", "busy", "gone"


class Worker:
    """A worker's process as the dispatcher sees it."""

    def __init__(self, options, threads):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        environ = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environ.setdefault(name, str(threads))
        if options.packages:
            there = glob.glob(os.path.join(options.packages, "lib", "python*", "site-packages"))
            environ["PYTHONPATH"] = os.pathsep.join(there + environ.get("PYTHONPATH", "").split(os.pathsep)).rstrip(os.pathsep)
        args = [str(theirs.fileno()), options.model, options.code, options.program, options.framework]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, START, "serve_worker"] + args,
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environ, start_new_session=True,
            )
        self.state, self.since = LOADING, time.monotonic()
        self.connection = None  # while busy
        self.answering = False  # the worker has begun to write
        self.served = 0
        self.problem = ""  # why it could not load
        self.killed = ""  # why we ended it

    def take(self, connection):
        """Hands over a connection; False where the worker is no more."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))]
        try:
            self.channel.sendmsg([b"."], rights)
        except OSError:
            return False
        self.state, self.since, self.connection, self.answering = BUSY, time.monotonic(), connection, False
        return True

    def kill(self, why=""):
        self.killed = self.killed or why
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def how_it_ended(self):
        code = self.process.returncode
        if self.killed:
            return self.killed
        if code < 0:
            return "it was killed by signal %d" % -code
        return "it ended with exit code %d" % code


class Server:
    def __init__(self, options, listener):
        self.options, self.listener = options, listener
        self.selector = selectors.DefaultSelector()
        self.workers = []
        self.idle = collections.deque()
        self.waiting = collections.deque()  # connections with a request
        self.resting = set()  # connections without one
        self.restarts = []  # when to start another worker
        self.lost = 0  # workers in a row that ended without having served
        self.ready = False  # all workers had loaded once
        self.stop_at = None
        self.exit_code = None
        self.signals = self.catch_signals()
        self.selector.register(listener, selectors.EVENT_READ, self.accept)

    def catch_signals(self):
        ours, theirs = socket.socketpair()
        for s in (ours, theirs):
            s.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(ours, selectors.EVENT_READ, self.on_signal)
        return ours, theirs

    def run(self):
        for _ in range(self.options.workers):
            self.start_worker()
        while self.exit_code is None:
            for key, _ in self.selector.select(self.until_next()):
                key.data(key.fileobj)
            self.on_time()
        return self.exit_code

    def close(self):
        for w in self.workers:
            w.channel.close()
            if w.state is not IDLE:
                w.kill()
        deadline = time.monotonic() + 2
        for w in self.workers:
            try:
                w.process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            w.kill()

    # Connections

    def accept(self, listener):
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(True)  # for the workers; here every call says that it must not wait
        self.rest(connection)

    def rest(self, connection):
        self.resting.add(connection)
        self.selector.register(connection, selectors.EVENT_READ, self.on_request)

    def rest_or_close(self, connection):
        if self.stop_at is None:
            self.rest(connection)
        else:
            connection.close()

    def on_request(self, connection):
        if connection not in self.resting:
            return  # closed since the event came
        self.selector.unregister(connection)
        self.resting.discard(connection)
        try:
            start = connection.recv(4, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            start = b""
        if not start:
            connection.close()
        elif start == b"GET ":
            self.answer_get(connection)
        elif self.broken():
            self.refuse(connection, 429, "no worker has its model loaded; see the log")
        elif len(self.waiting) >= MAX_WAITING:
            self.refuse(connection, 503, "%d requests wait already" % MAX_WAITING)
        else:
            self.waiting.append(connection)
            self.hand_out()

    def hand_out(self):
        while self.waiting and self.idle:
            worker = self.idle.popleft()
            if worker.state is IDLE and worker.take(self.waiting[0]):
                self.waiting.popleft()

    def answer_get(self, connection):
        try:
            head = connection.recv(serve_http.MAX_HEAD, socket.MSG_DONTWAIT)
            request = serve_http.parse_head(head.partition(b"\r\n\r\n")[0])
        except (OSError, serve_http.Refused):
            connection.close()
            return
        last = self.stop_at is not None
        if request.path != "/ping":
            data = serve_http.answer(404, "there is /ping and /invocations", close=last)
        elif not self.ready or self.broken():
            data = serve_http.answer(503, "the model is not loaded yet", close=last)
        else:
            data = serve_http.answer(200, b"", None, close=last)
        if self.write(connection, data):
            self.rest_or_close(connection)

    def refuse(self, connection, status, why):
        """Answers in a worker's place. The request was not read, so nothing
        can follow it."""
        headers = [("Musher-Not-Ready", "true")] if status == 429 else []
        self.write(connection, serve_http.answer(status, why, headers=headers, close=True))
        connection.close()

    def write(self, connection, data):
        try:
            connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            connection.close()
            return False
        return True

    def broken(self):
        """Whether nobody can answer, nor will soon."""
        return self.ready and self.lost > 1 and not any(w.state in (IDLE, BUSY) for w in self.workers)

    # Workers

    def start_worker(self):
        share = max(1, len(os.sched_getaffinity(0)) // self.options.workers)
        worker = Worker(self.options, share)
        self.workers.append(worker)
        self.selector.register(worker.channel, selectors.EVENT_READ, lambda _: self.on_message(worker))

    def on_message(self, worker):
        if worker.channel.fileno() < 0:
            return  # closed since the event came
        try:
            message = worker.channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        kind = message[:1]
        if kind == b"R":
            self.loaded(worker)
        elif kind == b"F":
            worker.problem = message[1:].decode("utf-8", "replace")
        elif kind == b"A":
            worker.answering = True
        elif kind in (b"D", b"C"):
            self.answered(worker, kind == b"D")
        else:  # it has closed the channel; SIGCHLD tells the rest
            self.selector.unregister(worker.channel)

    def loaded(self, worker):
        seconds = time.monotonic() - worker.since
        if not self.ready and all(w.state is not LOADING or w is worker for w in self.workers):
            self.ready = True
            say("the model is loaded, %.2f s, %d worker(s)" % (seconds, len(self.workers)))
        self.set_idle(worker)

    def answered(self, worker, goes_on):
        connection, worker.connection = worker.connection, None
        worker.served += 1
        self.lost = 0
        self.set_idle(worker)
        if goes_on:
            self.rest_or_close(connection)
        else:
            connection.close()

    def set_idle(self, worker):
        if worker.state is GONE:
            return
        worker.state = IDLE
        self.idle.append(worker)
        self.hand_out()

    def on_signal(self, ours):
        try:
            numbers = ours.recv(4096)
        except OSError:
            return
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self.begin_stop()
        for worker in [w for w in self.workers if w.process.poll() is not None]:
            self.on_death(worker)

    def on_death(self, worker):
        worker.state = GONE
        while readable(worker.channel):  # what it said before
            self.on_message(worker)
        worker.kill()  # what it has started and left
        self.workers.remove(worker)
        if worker.channel in self.selector.get_map():
            self.selector.unregister(worker.channel)
        worker.channel.close()
        if self.stop_at is None:
            self.replace(worker)
        if worker.connection is not None:
            self.answer_for(worker, worker.connection)

    def answer_for(self, worker, connection):
        if worker.answering:
            connection.close()  # the client sees that the answer is cut off
        else:
            self.refuse(connection, 500, "The worker that ran the script is gone: %s. Its log tells more." % worker.how_it_ended())

    def replace(self, worker):
        if not self.ready:
            say("the model could not be loaded: " + (worker.problem or worker.how_it_ended()))
            self.exit_code = 1
            return
        self.lost += 1
        delay = 0 if self.lost == 1 else min(LONGEST_DELAY, 0.25 * 2 ** min(self.lost, 10))
        say("a worker is lost: %s; another one starts in %.1f s" % (worker.problem or worker.how_it_ended(), delay))
        self.restarts.append(time.monotonic() + delay)
        if self.broken():
            while self.waiting:
                self.refuse(self.waiting.popleft(), 429, "no worker has its model loaded; see the log")

    # Time

    def deadlines(self):
        if self.stop_at is not None:
            yield self.stop_at
        yield from self.restarts
        for w in self.workers:
            if w.killed:
                continue
            if w.state is BUSY:
                yield w.since + self.options.seconds
            elif w.state is LOADING and self.ready:
                yield w.since + self.options.load_seconds

    def until_next(self):
        first = min(self.deadlines(), default=None)
        return None if first is None else max(0, first - time.monotonic())

    def on_time(self):
        now = time.monotonic()
        if self.stop_at is not None:
            if now >= self.stop_at or not (self.waiting or any(w.state is BUSY for w in self.workers)):
                self.exit_code = 0
            return
        for w in self.workers:
            if w.state is BUSY and now >= w.since + self.options.seconds:
                w.kill("it did not answer within %d s" % self.options.seconds)
            elif w.state is LOADING and self.ready and now >= w.since + self.options.load_seconds:
                w.kill("it did not load the model within %d s" % self.options.load_seconds)
        due = [t for t in self.restarts if t <= now]
        self.restarts = [t for t in self.restarts if t > now]
        for _ in due:
            self.start_worker()

    def begin_stop(self):
        """Takes no more requests; those that are here are answered."""
        if self.stop_at is not None:
            return
        if not self.ready:
            self.exit_code = 0
            return
        self.stop_at = time.monotonic() + DRAIN_SECONDS
        self.selector.unregister(self.listener)
        self.listener.close()
        for connection in list(self.resting):
            if not readable(connection):
                self.selector.unregister(connection)
                self.resting.discard(connection)
                connection.close()


def readable(s):
    try:
        return bool(s.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
