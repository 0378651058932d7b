"""Mutates requests and responses of stock distcc's protocol: nothing but ProtocolError may come out, within bounds.

By hand: ``python -m tests.fuzz.fuzz_distcc --count 1000000 [--seed N]``.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter

from tests.wire.distcc_samples import ARGS, GOLDEN, TRANSCRIPTS, drained, request, response
from zdistcc.errors import ProtocolError
from zdistcc.wire import lzo
from zdistcc.wire.distcc import DistccClient, DistccServer
from zdistcc.wire.distcc_events import (
    AnswerComplete,
    Event,
    FileReceived,
    JobAnnounced,
    JobComplete,
    LinkReceived,
    OutputReceived,
    SourceReceived,
    SystemDirectoryNamed,
    Version,
)
from zdistcc.wire.distcc_tokens import NAME_SIZE, VALUE_SIZE, Limits, Token

TOTAL_BYTES = 200_000
LIMITS = Limits(total_bytes=TOTAL_BYTES, arguments=64, files=64, all_paths_bytes=4096, directories=64)
_NUMBERS = {b"DIST", b"ARGC", b"NFIL", b"DONE", b"STAT"}
_PAYLOADS = (
    *(b"", b"/", b"/src/x.c", b"/src/../x", b"../../x", b"/usr/include", b"../" * 9 + b"usr/include", b"real", b"\0"),
    *(lzo.pack(b"int x;\n"), lzo.pack(bytes(TOTAL_BYTES + 1)), b"\x11\0\0", b"x" * 65536, b"\x12x\x20" + bytes(900)),
)


def cut(wire: bytes) -> list[bytes]:
    """Return the tokens of `wire`."""
    found = []
    while wire:
        end = NAME_SIZE + VALUE_SIZE
        if wire[:NAME_SIZE] not in _NUMBERS:
            end += int(wire[NAME_SIZE:end], 16)
        found.append(wire[:end])
        wire = wire[end:]
    return found


def transcripts() -> list[tuple[str, Version, list[bytes]]]:
    """Return who hears it, in which version, and its tokens: of stock programs and of ours."""
    found = []
    for version in Version:
        found.append(("server", version, cut(request(version))))
        found += [("client", version, cut(response(version, status))) for status in (0, 256)]
    for name in TRANSCRIPTS:
        version = {"plain": Version.PLAIN, "lzo": Version.LZO}.get(name.partition("-")[0], Version.PUMP)
        found.append(("server", version, cut((GOLDEN / f"{name}.request").read_bytes())))
        found.append(("client", version, cut((GOLDEN / f"{name}.response").read_bytes())))
    return found


def new_token(rng: random.Random) -> bytes:
    """Return a token that may be anything."""
    name = rng.choice(list(Token)).value
    if name in _NUMBERS or rng.random() < 0.1:
        return name + b"%08x" % rng.choice((0, 1, 2, 3, 4, 10, 256, 65536, 0xFFFFFFFF))
    payload = rng.choice(_PAYLOADS)
    return name + b"%08x" % len(payload) + payload


def mutate(rng: random.Random, tokens: list[bytes]) -> bytes:
    """Return `tokens` joined, with some trouble among and in them."""
    tokens = list(tokens)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        place = rng.randrange(len(tokens))
        match rng.randrange(5):
            case 0:
                tokens.insert(place, new_token(rng))
            case 1:
                tokens[place] = new_token(rng)
            case 2:
                tokens.insert(place, rng.choice(tokens))
            case 3 if len(tokens) > 1:
                del tokens[place]
            case _:
                name, payload = tokens[place][:NAME_SIZE], rng.choice(_PAYLOADS)
                tokens[place] = name + b"%08x" % len(payload) + payload
    wire = bytearray(b"".join(tokens))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 8))):
        place = rng.randrange(len(wire) or 1)
        match rng.randrange(5):
            case 0 if wire:
                wire[place] = rng.randrange(256)
            case 1 if wire:
                wire[place] ^= 1 << rng.randrange(8)
            case 2:
                del wire[place : place + rng.randint(1, 8)]
            case 3:
                wire[place:place] = rng.randbytes(rng.randint(1, 8))
            case _:
                del wire[place:]
    return bytes(wire)


def core_for(role: str, version: Version) -> DistccServer | DistccClient:
    """Return a fresh core that waits for what the transcript says."""
    if role == "server":
        return DistccServer(limits=LIMITS)
    client = DistccClient(limits=LIMITS)
    if version is Version.PUMP:
        client.request(version, ARGS, cwd=b"/")
    else:
        client.request(version, ARGS, source=b"")
    drained(client)
    return client


def hear(role: str, version: Version, wire: bytes, sizes: list[int], early: bool) -> tuple[list[Event], str]:
    """Feed `wire` in pieces of those sizes, in turn; return the events, and how it ended."""
    core = core_for(role, version)
    heard: list[Event] = []
    place = turn = 0
    try:
        while place < len(wire):
            size = sizes[turn % len(sizes)]
            core.receive_data(wire[place : place + size])
            place, turn = place + size, turn + 1
            news = core.events()
            heard += news
            if early and isinstance(core, DistccServer) and any(isinstance(event, JobAnnounced) for event in news):
                core.respond(status=256, stderr=b"no\n")
        whole = core.complete
        core.receive_eof()
        return heard + core.events(), "whole" if whole else "cut short"
    except ProtocolError as error:
        return heard + core.events(), f"{type(error).__name__}: {error}"


def check(heard: list[Event], end: str) -> None:
    """What must hold for whatever was heard."""
    held = sum(len(e.data) for e in heard if isinstance(e, SourceReceived | FileReceived | OutputReceived))
    assert held <= TOTAL_BYTES
    assert (end == "whole") is (heard[-2:-1] in ([JobComplete()], [AnswerComplete()])), (heard[-2:], end)
    assert end.isprintable() and len(end) < 300
    links: list[bytes] = []
    for event in heard:
        match event:
            case FileReceived(path=path) | LinkReceived(path=path) | SystemDirectoryNamed(path=path):
                assert path.startswith(b"/") and b".." not in path.split(b"/") and b"\0" not in path
                assert not any(path == link or path.startswith(link + b"/") for link in links)
                if not isinstance(event, FileReceived):
                    links.append(path)
                if isinstance(event, LinkReceived):
                    climbs = event.target.split(b"/").count(b"..")
                    assert climbs < path.count(b"/")


def campaign(count: int, seed: int) -> Counter[str]:
    """Run `count` mutations, each twice, cut differently; return how they ended."""
    rng = random.Random(seed)
    stock = transcripts()
    ends: Counter[str] = Counter()
    for number in range(count):
        role, version, tokens = rng.choice(stock)
        wire = mutate(rng, tokens)
        early = rng.random() < 0.1
        try:
            heard, end = hear(role, version, wire, [rng.choice((13, 64, 500)), 1 << 20], early)
            check(heard, end)
            if not early:
                assert hear(role, version, wire, [1 << 20], early) == (heard, end), "cut otherwise, heard otherwise"
        except Exception:
            print(f"seed={seed} number={number} role={role} wire={wire.hex()}")
            raise
        ends[end.partition(":")[0]] += 1
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    begun = time.monotonic()
    ends = campaign(words.count, words.seed)
    print(f"{words.count} inputs in {time.monotonic() - begun:.1f} s: {dict(ends)}")


if __name__ == "__main__":
    main()
