"""Servers: where they listen, the load that is put on them, and their end.

An *address* is the path of a Unix socket, or tcp:PORT for a port of this machine.
"""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import time

SECONDS_TO_START = 20
SECONDS_TO_END = 5
TCP = "tcp:"


def is_address(text: str) -> bool:
    port = text.removeprefix(TCP)
    return port.isdigit() and 0 < int(port) < 65536 if text.startswith(TCP) else "/" in text


def is_listening(address: str) -> bool:
    """Does somebody accept connections there?"""
    is_tcp = address.startswith(TCP)
    with socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX) as client:
        try:
            client.connect(("127.0.0.1", int(address.removeprefix(TCP))) if is_tcp else address)
            return True
        except OSError:
            return False


def clear(address: str) -> None:
    """Removes the socket that a server left behind when it was killed."""
    if not address.startswith(TCP) and pathlib.Path(address).is_socket():
        pathlib.Path(address).unlink()


def await_start(address: str, process: subprocess.Popen) -> bool:
    """Waits until the server listens; False if it ends instead, or takes too long."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        if is_listening(address):
            return True
        time.sleep(0.01)
    return False


def end_session(process: subprocess.Popen) -> None:
    """Ends the process and all of its session: first politely, so that nothing is left behind.

    A server that is interrupted removes its sockets and its shared memory, and ends those of its
    children that are sessions of their own.
    """
    for sign, seconds in ((signal.SIGINT, SECONDS_TO_END), (signal.SIGKILL, 1)):
        deadline = time.monotonic() + seconds
        while _signal(process.pid, sign) and time.monotonic() < deadline:
            process.poll()
            sign = 0  # Said once; from then on it is only asked whether somebody is left.
            time.sleep(0.01)
    process.wait()


def _signal(group: int, sign: int) -> bool:
    try:
        os.killpg(group, sign)
        return True
    except ProcessLookupError:
        return False
