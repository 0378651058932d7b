"""Run on a machine: `stock_jobs.py HOST COMMAND SOCKETS SSH… -- SOURCE…` has stock distccd compile preprocessed sources.

All at once, a tunnel for each; writes the objects beside the sources.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from zdistcc.agent.reach import Reach
from zdistcc.net.ssh import Ssh, SshHost
from zdistcc.wire.distcc import DistccClient
from zdistcc.wire.distcc_events import Answered, OutputReceived, Version


async def compile_one(reach: Reach, host: SshHost, source: Path) -> None:
    tunnel = await reach.open_stock(host)
    loop = asyncio.get_running_loop()
    core = DistccClient()
    core.request(Version.PLAIN, [b"gcc", b"-O2", b"-c", b"u.c", b"-o", b"u.o"], source=source.read_bytes())
    made = b""
    with tunnel.take() as sock:
        if tunnel.early:
            core.receive_data(tunnel.early)
        while core.wants_to_send:
            await loop.sock_sendall(sock, core.data_to_send())
        while not core.complete:
            core.receive_data(await loop.sock_recv(sock, 1 << 16))
            for event in core.events():
                match event:
                    case Answered(status=status, stderr=stderr):
                        assert status == 0, stderr
                    case OutputReceived(data=data):
                        made += data
        tunnel.close()
    source.with_suffix(".o").write_bytes(made)


async def main(host: str, command: str, sockets: str, *words: str) -> None:
    at = words.index("--")
    reach = Reach(Ssh(program=words[:at], env=os.environ, sockets=Path(sockets)))
    named = SshHost(host=host, command=command)
    await asyncio.gather(*(compile_one(reach, named, Path(source)) for source in words[at + 1 :]))
    await reach.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
