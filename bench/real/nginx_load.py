"""Load of the nginx row: fixed requests over connections that are kept; prints what came back.

Usage: nginx_load.py FOLDER
"""

import gzip
import hashlib
import http.client
import os
import pathlib
import signal
import socket
import sys

import make_nginx

ROUNDS = 24
CONNECTIONS = 16


class Client(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def fetch(client, path, encoding):
    """The status and the content, unpacked: packed in which pieces is of no interest."""
    client.request("GET", path, headers={"Accept-Encoding": encoding})
    reply = client.getresponse()
    content = reply.read()
    if reply.headers.get("Content-Encoding") == "gzip":
        content = gzip.decompress(content)
    return reply.status, content


def paths():
    texts = [f"text{number:02d}.txt" for number in range(make_nginx.TEXTS)]
    pages = [f"page{number}.html" for number in range(make_nginx.PAGES)]
    yield from ("/" + name for name in texts + pages)
    yield from ("/again/" + name for name in texts[::3] + pages[::2])
    yield from ("/old/text00.txt", "/missing.txt")


def main(folder):
    seen = {}
    requests = 0
    for _ in range(ROUNDS):
        clients = [Client(folder / "nginx.socket") for _ in range(CONNECTIONS)]
        for path in paths():
            for encoding in ("gzip", "identity"):
                status, content = fetch(clients[requests % CONNECTIONS], path, encoding)
                found = status, hashlib.sha256(content).hexdigest()
                if seen.setdefault((path, encoding), found) != found:
                    sys.exit(f"nginx_load.py: another answer for {path} than before")
                requests += 1
        for client in clients:
            client.close()
    print(requests, "requests")
    for (path, encoding), (status, digest) in sorted(seen.items()):
        print(path, encoding, status, digest)
    os.kill(int((folder / "nginx.pid").read_text()), signal.SIGQUIT)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
