"""``ping.py ADDRESS COUNT [TIMEOUT_S]``: echo requests, both families; prints a JSON list of round trips.

The list holds milliseconds, or null for an answer that did not come in time.  Its own program because
ping(8) is a package more, with its own output per vendor.  An IPv6 address may name its interface (%eth0).
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time

ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(sock: socket.socket, target: tuple[str, int], number: int, timeout_s: float) -> float | None:
    request, reply = ECHO[socket.AddressFamily(sock.family)]
    ident = os.getpid() & 0xFFFF
    draft = struct.pack("!BBHHH", request, 0, 0, ident, number)
    packet = struct.pack("!BBHHH", request, 0, checksum(draft), ident, number)
    sent = time.monotonic()
    try:
        sock.sendto(packet, target)
    except OSError:  # no route, no carrier
        return None
    while (left := sent + timeout_s - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            break
        data = sock.recv(2048)
        if sock.family == socket.AF_INET:
            data = data[(data[0] & 15) * 4 :]
        kind, _code, _sum, his, got = struct.unpack("!BBHHH", data[:8])
        if (kind, his, got) == (reply, ident, number):
            return (time.monotonic() - sent) * 1000
    return None


def main() -> None:
    address, count = sys.argv[1], int(sys.argv[2])
    timeout_s = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    family, _, _, _, target = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_RAW, PROTOCOL[family]) as sock:
        print(json.dumps([echo(sock, target, number, timeout_s) for number in range(count)]))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
