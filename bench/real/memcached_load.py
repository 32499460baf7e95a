"""Load of the memcached row: fixed requests over many connections, each answer compared.

Usage: memcached_load.py SOCKET
"""

import socket
import sys

KEYS = 100_000
ROUNDS = 3
CONNECTIONS = 50
AT_ONCE = 100  # So many requests are sent before their answers are read.


def value_of(number, version):
    """Most values are short, some are long."""
    length = 30 + number * 7919 % 400 + (4000 if number % 50 == 0 else 0)
    return (b"%d-%d-" % (number, version) * (length // 4))[:length]


class Client:
    def __init__(self, path):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(path)
        self.replies = self.line.makefile("rb", buffering=1 << 16)

    def ask(self, request, expected):
        self.line.sendall(request)
        got = self.replies.read(len(expected))
        if got != expected:
            sys.exit(f"memcached_load.py: unexpected answer to {request[:60]!r}: {got[:60]!r}")

    def store(self, numbers, version):
        request = b"".join(
            b"set key-%d 0 0 %d\r\n%s\r\n" % (number, len(value), value)
            for number in numbers
            for value in [value_of(number, version)]
        )
        self.ask(request, b"STORED\r\n" * len(numbers))

    def fetch(self, numbers, version):
        request = b"get %s\r\n" % b" ".join(b"key-%d" % number for number in numbers)
        values = [(number, value_of(number, version)) for number in numbers]
        found = [b"VALUE key-%d 0 %d\r\n%s\r\n" % (n, len(value), value) for n, value in values]
        self.ask(request, b"".join(found) + b"END\r\n")

    def append(self, numbers, text):
        lines = [b"append key-%d 0 0 %d\r\n%s\r\n" % (n, len(text), text) for n in numbers]
        self.ask(b"".join(lines), b"STORED\r\n" * len(numbers))

    def delete(self, numbers):
        lines = [b"delete key-%d\r\n" % number for number in numbers]
        self.ask(b"".join(lines), b"DELETED\r\n" * len(numbers))

    def statistics(self):
        self.line.sendall(b"stats\r\n")
        lines = iter(self.replies.readline, b"END\r\n")
        return {name: value for _, name, value in (line.decode().split(None, 2) for line in lines)}

    def close(self):
        self.replies.close()
        self.line.close()


def main(path):
    numbers = list(range(KEYS))
    batches = [numbers[i : i + AT_ONCE] for i in range(0, KEYS, AT_ONCE)]
    for version in range(ROUNDS):
        clients = [Client(path) for _ in range(CONNECTIONS)]
        for place, batch in enumerate(batches):
            clients[place % CONNECTIONS].store(batch, version)
        for place, batch in enumerate(batches):
            clients[-1 - place % CONNECTIONS].fetch(batch, version)
        for place, batch in enumerate(batches[::5]):
            clients[place % CONNECTIONS].append(batch, b"x" * 500)
            clients[place % CONNECTIONS].delete(batch[::2])
        for client in clients:
            client.close()
    client = Client(path)
    found = client.statistics()
    for name in ("curr_items", "bytes", "cmd_set", "cmd_get", "get_hits", "delete_hits"):
        print(name, found[name].strip())
    client.line.sendall(b"shutdown\r\n")


if __name__ == "__main__":
    main(sys.argv[1])
