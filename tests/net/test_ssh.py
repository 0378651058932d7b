"""One ssh: how it is called, what is made of what it says; with scripts in its place, and once a real distccd."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path

import pytest

from tests.aio import run, until
from zdistcc.net.ssh import MARK, MAX_NOISE_BYTES, Found, Ssh, SshDenied, SshFailed, SshHost, known_as, remote_line

HOST = SshHost(host="h", user="u")


def ssh(path: Path, script: str, name: str = "ssh") -> Ssh:
    program = path / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Ssh(program=(str(program),), env={**os.environ, "WORDS": str(path / "words")}, sockets=path)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def failure(path: Path, script: str, kind: type[SshFailed] = SshFailed) -> str:
    async def main() -> str:
        with pytest.raises(kind) as caught:
            await ssh(path, script).open(HOST)
        assert type(caught.value) is kind
        return str(caught.value)

    return run(main())


@pytest.mark.parametrize("found", [Found.NATIVE, Found.STOCK])
def test_what_stands_before_and_behind_the_line(tmp_path: Path, found: Found) -> None:
    async def main() -> None:
        script = f"printf 'Welcome\\nto h: {MARK.decode()}{found.value}\\nearly'; cat"
        tunnel = await ssh(tmp_path, script).open(HOST)
        assert (tunnel.found, tunnel.early) == (found, b"early")
        loop = asyncio.get_running_loop()
        with tunnel.take() as sock:
            await loop.sock_sendall(sock, b"hello")
            assert await loop.sock_recv(sock, 100) == b"hello"
            tunnel.close()
        assert gone(tunnel.pid)

    run(main())


def test_a_line_in_pieces(tmp_path: Path) -> None:
    async def main() -> None:
        script = "; ".join(f"printf %s {shlex.quote(chr(byte))}" for byte in MARK + b"stock") + "; echo; cat"
        tunnel = await ssh(tmp_path, script).open(HOST)
        assert (tunnel.found, tunnel.early) == (Found.STOCK, b"")
        tunnel.close()

    run(main())


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ("u@h: Permission denied (publickey).", SshDenied, "u@h: Permission denied (publickey); add your key there: "),
        ("Host key verification failed.", SshDenied, "Host key verification failed; connect once by hand"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            SshDenied,
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; its key is not the known one",
        ),
        ("x\nssh: connect to host h port 22: No route to host", SshFailed, "ssh: connect to host h port 22: No route"),
        ("sh: \x1b[31m1: zdistccd: not found", SshFailed, "sh: [31m1: zdistccd: not found"),
        ("", SshFailed, "u@h: ssh ended without a word"),
    ],
)
def test_why_there_is_no_tunnel(tmp_path: Path, words: str, kind: type[SshFailed], said: str) -> None:
    assert failure(tmp_path, f"printf '%s\\n' {shlex.quote(words)} >&2; exit 255", kind).startswith(said)


def test_nothing_that_could_serve(tmp_path: Path) -> None:
    assert "neither zdistccd nor distccd is on the PATH" in failure(tmp_path, f"echo {MARK.decode()}none")


def test_endless_noise_is_not_listened_to(tmp_path: Path) -> None:
    assert "something else than a worker" in failure(tmp_path, f"head -c {2 * MAX_NOISE_BYTES} /dev/zero; cat")


def test_a_cancelled_opening_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        pid = tmp_path / "pid"
        opening = asyncio.ensure_future(ssh(tmp_path, f"echo $$ >{pid}.new; mv {pid}.new {pid}; cat").open(HOST))
        await until(pid.exists, "ssh runs", 5)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert gone(int(pid.read_text()))

    run(main())


def test_the_command_line(tmp_path: Path) -> None:
    made = Ssh(program=("ssh", "-F", "x"), env={}, sockets=Path("/run/50%"))
    words = made.command(HOST, "line", shared=False)
    assert words[:3] == ["ssh", "-F", "x"] and words[-4:] == ["-l", "u", "h", "line"]
    assert {"BatchMode=yes", "ControlPath=none", "ForwardAgent=no"} <= set(words)
    assert "ControlPath=/run/50%%/ssh-%C" in made.command(HOST, "line", shared=True)
    other = Ssh(program=("plink",), env={}, sockets=tmp_path)
    assert other.command(HOST, "line", shared=True) == ["plink", "-l", "u", "h", "line"]


def test_an_address_is_expected_to_be_who_it_says(tmp_path: Path) -> None:
    host = SshHost(host="fe80::1%eth0", alias="desk")
    words = Ssh(env={}, sockets=tmp_path).command(host, "line", shared=False)
    assert words[-2:] == ["desk", "line"]
    assert {"HostName=fe80::1%%eth0", "HostKeyAlias=desk"} <= set(words)


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a b", "", "a;b", "ü", "x" * 254])
def test_names_that_are_none(name: str) -> None:
    assert known_as(name) == ""


def test_a_host_that_would_be_an_option(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(SshFailed, match="no name of a host"):
            await ssh(tmp_path, "cat").open(SshHost(host="-oProxyCommand=x"))

    run(main())


@pytest.mark.parametrize(
    ("command", "there", "stock", "ran"),
    [
        ("", ("zdistccd", "distccd"), False, ["zdistccd --stdio"]),
        ("", ("zdistccd", "distccd"), True, [MARK.decode() + "stock", "distccd --inetd --enable-tcp-insecure"]),
        ("", ("distccd",), False, [MARK.decode() + "stock", "distccd --inetd --enable-tcp-insecure"]),
        ("", ("zdistccd",), True, ["zdistccd --stdio"]),
        ("", (), False, [MARK.decode() + "none"]),
        ("{bin}/zdistccd", ("zdistccd",), False, ["zdistccd --stdio"]),
        (
            "{bin}/distccd",
            ("distccd",),
            False,
            [MARK.decode() + "stock", "distccd --inetd --enable-tcp-insecure"],
        ),
    ],
)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_what_the_other_machine_runs(
    tmp_path: Path, shell: str, command: str, there: tuple[str, ...], stock: bool, ran: list[str]
) -> None:
    async def main() -> None:
        for name in there:
            ssh(tmp_path, f'echo {name} "$@"', name)
        line = remote_line(SshHost(host="h", command=command.format(bin=tmp_path)), stock=stock)
        (tmp_path / "sh").symlink_to("/bin/sh")
        env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
        child = await asyncio.create_subprocess_exec(
            f"/bin/{shell}", "-c", line, stdout=asyncio.subprocess.PIPE, env=env
        )
        out, _ = await child.communicate()
        assert out.decode().splitlines() == ran

    run(main())
