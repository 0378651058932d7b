"""Mutates transcripts of both roles and feeds them to the protocol core: nothing but ProtocolError may come out.

By hand: ``python -m tests.fuzz.fuzz_frames --count 1000000 [--seed N]``.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator

from tests.wire.samples import SAMPLES
from tests.wire.test_connection import GREETING, HELLO, job_of, result_of
from zdistcc.errors import ProtocolError
from zdistcc.wire import codecs, frames, messages
from zdistcc.wire.connection import RULES, ChunkReceived, Connection, Role, Said
from zdistcc.wire.frames import FrameKind
from zdistcc.wire.messages import Cancel, Job, Need, RefusalCode, Refuse, Result, Started


def transcripts() -> dict[Role, list[list[bytes]]]:
    """What each role said in some conversations, as preface and frames; the key is the one who hears it."""
    heard: dict[Role, list[list[bytes]]] = {Role.AGENT: [], Role.WORKER: []}
    for ending in range(4):
        agent, worker = Connection(Role.AGENT), Connection(Role.WORKER)
        agent.send(HELLO)
        worker.send(GREETING)
        said: dict[Role, bytes] = {Role.AGENT: b"", Role.WORKER: b""}

        def carry(agent: Connection = agent, worker: Connection = worker, said: dict[Role, bytes] = said) -> None:
            for source, target in ((agent, worker), (worker, agent)):
                wire = source.data_to_send()
                said[source.role] += wire
                target.receive_data(wire)
                target.events()

        for eager in (True, False):
            job, bodies = job_of(bytes(range(256)) * 3, eager=eager)
            stream = agent.open_stream()
            agent.send(job, stream, bodies)
            carry()
            if ending == 0:
                worker.send(Started(), stream)
                worker.send(*_with(result_of(b"o" * 999, b"d"), stream))
            elif ending == 1:
                worker.send(Refuse(code=RefusalCode.BUSY, sentence="no"), stream)
            elif ending == 2 and not eager:
                worker.send(Need(digests=(job.source.digest,)), stream)
            else:
                agent.send(Cancel(), stream)
            carry()
            carry()
        heard[Role.WORKER].append(list(_cut(said[Role.AGENT])))
        heard[Role.AGENT].append(list(_cut(said[Role.WORKER])))
    return heard


def _with(result: tuple[Result, list[bytes]], stream: int) -> tuple[Result, int, list[bytes]]:
    return result[0], stream, result[1]


def _cut(wire: bytes) -> Iterator[bytes]:
    if wire.startswith(frames.MAGIC):
        yield wire[: frames.PREFACE_SIZE]
        wire = wire[frames.PREFACE_SIZE :]
    while wire:
        end = frames.HEADER_SIZE + int.from_bytes(wire[:4], "big")
        yield wire[:end]
        wire = wire[end:]


def all_messages() -> list[bytes]:
    found = []
    for stream in (0, 1, 2, 3):
        for message in SAMPLES:
            payload = messages.encode(message)
            found.append(frames.encode_header(FrameKind.MESSAGE, stream, 0, len(payload)) + payload)
    found += [frames.encode_header(FrameKind.CHUNK, s, n, 5) + b"hello" for s in (1, 2) for n in (0, 1)]
    return found


def mutate(rng: random.Random, pieces: list[bytes], stock: list[bytes]) -> bytes:
    preface, pieces = pieces[0], list(pieces[1:])
    for _ in range(rng.randint(0, 3)):
        place = rng.randrange(len(pieces) + 1)
        match rng.randrange(4):
            case 0:
                pieces.insert(place, rng.choice(stock))
            case 1 if len(pieces) > 1:
                del pieces[min(place, len(pieces) - 1)]
            case 2:
                pieces.insert(place, pieces[place - 1] if pieces else b"")
            case 3:
                rng.shuffle(pieces)
    wire = bytearray(b"".join(pieces))
    if rng.random() < 0.05:
        wire[:0], preface = preface, b""
    for _ in range(rng.choice((0, 0, 1, 1, 2, 8))):
        if not wire:
            break
        place = rng.randrange(len(wire))
        match rng.randrange(4):
            case 0:
                wire[place] = rng.randrange(256)
            case 1:
                wire[place] ^= 1 << rng.randrange(8)
            case 2:
                del wire[place : place + rng.randint(1, 8)]
            case 3:
                wire[place:place] = rng.randbytes(rng.randint(1, 8))
    return preface + bytes(wire)


def hear(role: Role, wire: bytes, rng: random.Random, jobs_open: int = 2) -> str:
    """Feed ``wire`` to a fresh core of ``role``, answer as its owner might; return how it ended."""
    core = Connection(role)
    core.send(HELLO if role is Role.AGENT else GREETING)
    if role is Role.AGENT:
        for _ in range(jobs_open):
            job, bodies = job_of(bytes(range(256)) * 3)
            core.send(job, core.open_stream(), bodies)
    try:
        while wire:
            size = rng.choice((1, 13, 500, len(wire)))
            core.receive_data(wire[:size])
            wire = wire[size:]
            for event in core.events():
                _take(core, event, rng)
            core.data_to_send(rng.choice((0, 1000, 1 << 18)))
        core.receive_eof()
        core.events()
    except ProtocolError as error:
        return type(error).__name__
    return "fine"


def _take(core: Connection, event: object, rng: random.Random) -> None:
    """Do what may be done about an event, now and then."""
    match event:
        case Said(message=Job(), stream=stream) if rng.random() < 0.5:
            core.send(Refuse(code=RefusalCode.BUSY, sentence="no"), stream)
        case Said(message=Result() as result):
            assert messages.encode(result)
        case ChunkReceived(data=data):
            assert data
            with contextlib.suppress(ProtocolError):
                codecs.unpack(rng.randrange(3), data, rng.choice((0, len(data), 768, 999)))
        case Said():
            assert RULES[type(event.message)]


def campaign(count: int, seed: int) -> Counter[str]:
    """Run ``count`` mutations; return how they ended."""
    rng = random.Random(seed)
    stock = all_messages()
    lists = [(role, pieces) for role, found in transcripts().items() for pieces in found]
    ends: Counter[str] = Counter()
    for number in range(count):
        role, pieces = rng.choice(lists)
        wire = mutate(rng, pieces, stock)
        try:
            ends[hear(role, wire, rng)] += 1
        except Exception:
            print(f"seed={seed} number={number} role={role} wire={wire.hex()}")
            raise
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
