"""The least that can stand between a socket and a script: one connection, one
request after the other. The benchmark pairs it with the model server."""

import importlib.util
import os
import socket
import sys

path, code, model_dir = sys.argv[1:4]
spec = importlib.util.spec_from_file_location("inference", os.path.join(code, "inference.py"))
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
model = script.model_fn(model_dir)

listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(path)
listener.listen(1)
print("ready", flush=True)
connection, _ = listener.accept()
while True:
    data = connection.recv(1 << 16)
    if not data:
        break
    head, _, body = data.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < size:
        body += connection.recv(1 << 16)
    result = script.output_fn(script.predict_fn(script.input_fn(body.decode(), "application/json"), model), "application/json").encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(result) + result)
