"""Fixed snapshots, as an agent would answer them: the states of which screenshots are kept."""

from __future__ import annotations

from typing import Any

from zdistcc.ui.feed import Feed

NOW = 1_790_008_867.0
GCC = {"family": "gcc", "version": "12.2.0", "target": "x86_64-linux-gnu", "build_id": "a" * 32}
GCC_REBUILT = {**GCC, "build_id": "b" * 32}
GCC_11 = {**GCC, "version": "11.4.0", "build_id": "c" * 32}
CROSS = {**GCC, "target": "aarch64-linux-gnu", "build_id": "d" * 32}
CLANG = {**GCC, "family": "clang", "version": "14.0.6", "build_id": "e" * 32}

FILES = (
    "src/json/parser.cc", "src/json/value.cc", "src/ray/scene.cc", "src/ray/trace.cc", "src/text/wrap.c",
    "src/text/utf8.c", "src/base/hashmap.c", "src/base/arena.c", "src/net/http2_connection_pool.cc", "src/main.cc",
)  # fmt: skip


def job(number: int, seconds: float, **changes: Any) -> dict[str, Any]:
    row = {
        "job": number, "file": FILES[number % len(FILES)], "directory": "/home/ada/engine", "seconds": seconds,
        "phase": "compile", "second": False,
    }  # fmt: skip
    return {**row, **changes}


def host(name: str, number: int, slots: int, **changes: Any) -> dict[str, Any]:
    jobs = changes.get("jobs", [])
    address = f"192.168.1.{number}"
    row = {
        "name": name, "id": f"{number:016x}", "addresses": [address, f"fe80::2{number:02x}:ff:fe00:1%eth0"], "port": 3633,
        "protocol": 1, "version": "0.1.0", "state": "ready", "slots": slots,
        "running": len(jobs) + changes.get("others", 0), "compilers": [GCC, CLANG], "usable": True, "reason": None,
        "address": f"{address}:3633", "ways": ["announced"], "leases": len(jobs), "round_trip_ms": 0.3 + number / 100,
        "bytes": {"sent": 1_200_000 * number, "received": 3_400_000 * number}, "jobs": [], "others": 0, "speed": None,
        "others_load": None, "memory_free": None, "limited": None, "until_s": None, "jobs_done": 0,
        "match": {**GCC, "exact": True},
    }  # fmt: skip
    return {**row, **changes}


def note(number: int, ago: float, kind: str, worker: str, text: str) -> dict[str, Any]:
    return {"number": number, "time": NOW - ago, "kind": kind, "worker": worker, "text": text}


def counts(remote: int = 0, local: int = 0, **changes: Any) -> dict[str, Any]:
    row = {
        "done": {"remote": remote, "local": local, "failed": 0, "abandoned": 0},
        "modes": {"headers": remote, "preprocessed": 0, "local": local},
        "reasons": {},
    }
    return {**row, **changes}


def picture(**changes: Any) -> dict[str, Any]:
    row = {
        "revision": 7, "time": NOW, "agent": {"version": "0.1.0", "pid": 4711, "uptime_s": 300.0}, "compiler": GCC,
        "local": {"slots": 4, "running": 0, "waiting": 0, "files": []}, "hosts": [],
        "jobs": {"waiting": 0, "remote": 0, "local": 0, **counts(), "fell_through": {}}, "build": None,
        "parallelism": 0.0, "bytes": {"sent": 0, "received": 0},
        "second_starts": {"started": 0, "won": 0, "wasted_s": 0.0}, "notes": [], "last_note": 0, "finished": 0,
        "finished_after": 0,
    }  # fmt: skip
    return {**row, **changes}


def empty() -> dict[str, Any]:
    return picture()


def _joined() -> list[dict[str, Any]]:
    return [
        note(1, 95, "joined", "attic", "192.168.1.11:3633, 4 slots"),
        note(2, 94, "joined", "desk", "192.168.1.12:3633, 8 slots"),
        note(3, 40, "joined", "laptop", "192.168.1.13:3633, 8 slots"),
    ]


def ready() -> dict[str, Any]:
    hosts = [
        host("attic", 11, 4, compilers=[GCC]),
        host("desk", 12, 8),
        host("laptop", 13, 8, compilers=[GCC_REBUILT, CLANG], match={**GCC_REBUILT, "exact": False}, round_trip_ms=2.7),
    ]
    return picture(hosts=hosts, parallelism=20.0, notes=_joined(), last_note=3)


def building() -> dict[str, Any]:
    hosts = [
        host("attic", 11, 4, compilers=[GCC], state="busy", speed=0.62, jobs_done=41,
             jobs=[job(number, 0.4 + 0.9 * number) for number in range(1, 5)]),
        host("desk", 12, 8, speed=1.0, jobs_done=133, others=2,
             jobs=[job(number, 0.3 * number) for number in range(5, 10)]),
        host("laptop", 13, 8, compilers=[GCC_REBUILT, CLANG], match={**GCC_REBUILT, "exact": False}, speed=1.41,
             jobs_done=158, round_trip_ms=2.7,
             jobs=[job(10, 6.1), job(11, 2.2), job(12, 0.2, phase="send"), job(13, 0.9, second=True)]),
    ]  # fmt: skip
    done = counts(332, 17, modes={"headers": 327, "preprocessed": 5, "local": 17},
                  reasons={"link": 11, "configure-probe": 4, "absolute-include": 2})  # fmt: skip
    return picture(
        hosts=hosts,
        local={"slots": 4, "running": 1, "waiting": 0, "files": [job(20, 1.4, file="bin/raytrace")]},
        jobs={"waiting": 6, "remote": 13, "local": 1, **done, "fell_through": {}},
        build={"running": True, "elapsed_s": 38.2, "at_once": 24, "work_s": 512.0, "speed_up": 3.4, **done},
        parallelism=17.2,
        bytes={"sent": 9_800_000, "received": 61_000_000},
        second_starts={"started": 2, "won": 1, "wasted_s": 1.2},
        notes=_joined(),
        last_note=3,
        finished=349,
    )


def trouble() -> dict[str, Any]:
    gone = {"usable": False, "address": None, "match": None}
    hosts = [
        host("attic", 11, 4, **gone, state="lost", gone_s=7.0, jobs_done=41,
             reason="the other side closed the connection"),
        host("desk", 12, 8, state="backoff", until_s=12.4, speed=1.0, jobs_done=133,
             reason="src/json/value.cc: nothing was heard for 2.1 s"),
        host("fileserver", 14, 16, usable=False, match=None, compilers=[GCC_11, CLANG], state="incompatible",
             reason="has gcc 11.4.0, the job needs 12.2.0"),
        host("laptop", 13, 8, usable=False, state="draining", reason="draining: it takes no new jobs", jobs_done=158,
             jobs=[job(10, 6.1)]),
        host("printer", 15, 2, **gone, state="unreachable", compilers=[], version="0.0.9",
             reason="the worker speaks protocol 0, we speak 1: update the older of the two"),
    ]  # fmt: skip
    notes = [
        *_joined(),
        note(4, 30, "refused", "printer", "the worker speaks protocol 0, we speak 1: update the older of the two"),
        note(5, 12, "failed", "desk", "src/json/parser.cc: nothing was heard for 2.0 s"),
        note(6, 12, "failed", "desk", "src/json/value.cc: nothing was heard for 2.1 s"),
        note(7, 7, "lost", "attic", "the other side closed the connection"),
    ]
    done = counts(332, 5, reasons={"workers-failed": 3, "link": 2})
    return picture(
        hosts=hosts,
        jobs={"waiting": 9, "remote": 1, "local": 0, **done, "fell_through": {}},
        build={"running": True, "elapsed_s": 61.0, "at_once": 16, "work_s": 400.0, "speed_up": 1.6, **done},
        parallelism=8.0,
        notes=notes,
        last_note=7,
        finished=337,
    )


def feed_of(shown: dict[str, Any]) -> Feed:
    """A feed that has followed a build of half a minute to its last snapshot."""
    feed = Feed()
    busy = shown["finished"] > 0
    total = shown["bytes"]["sent"] + shown["bytes"]["received"]
    for second in range(60 if busy else 0):
        share = (second / 60) ** 1.5 + (0.004 if second % 7 < 3 else 0)
        moved = {"sent": int(total * share), "received": 0}
        feed.take(
            {
                **shown,
                "time": NOW - 60 + second,
                "finished": int(shown["finished"] * share),
                "bytes": moved,
                "notes": [],
            }
        )
    feed.take(shown)
    return feed


def showcase() -> dict[str, Any]:
    """A build with a bit of everything: what README shows."""
    shown, troubled = building(), {row["name"]: row for row in trouble()["hosts"]}
    hosts = [*shown["hosts"], troubled["fileserver"], {**troubled["desk"], "name": "studio", "id": "17"}]
    notes = [
        *shown["notes"],
        note(4, 20, "failed", "studio", "src/json/value.cc: nothing was heard for 2.1 s"),
        note(5, 12, "left", "printer", "it said goodbye"),
    ]
    return {**shown, "hosts": hosts, "notes": notes}
