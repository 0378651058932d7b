"""The jobserver's pipe, with readers that are other processes or other openings."""

from __future__ import annotations

import os
import select
import stat
import subprocess
from pathlib import Path

import pytest

from zdistcc.jobserver.fifo import Form, TokenPipe


def where(pipe: TokenPipe) -> Path:
    return Path(pipe.auth.removeprefix("fifo:"))


def test_the_named_form() -> None:
    """A client opens the path, as make 4.4 and ninja 1.13 do."""
    with TokenPipe(Form.FIFO) as pipe:
        path = where(pipe)
        assert stat.S_ISFIFO(path.stat().st_mode) and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert pipe.take(5) == 0
        assert pipe.put(3) == 3
        assert not pipe.returns and pipe.returned() == 0
        client = os.open(path, os.O_RDWR)
        try:
            assert len(os.read(client, 1)) == 1
            assert pipe.take(5) == 2
            os.write(client, b"+")
            assert select.select([pipe], [], [], 0)[0]
            assert pipe.take(1) == 1
        finally:
            os.close(client)
    assert not path.parent.exists()


def test_the_form_of_two_descriptors() -> None:
    """They reach a child, and nothing is left in the file system."""
    with TokenPipe(Form.DESCRIPTORS) as pipe:
        reading, writing = map(int, pipe.auth.split(","))
        assert os.readlink(f"/proc/self/fd/{reading}").endswith("/fifo (deleted)")
        pipe.put(2)
        script = f"head -c 1 <&{reading}; printf x >&{writing}"
        taken = subprocess.run(["bash", "-c", script], close_fds=False, capture_output=True, check=True)
        assert taken.stdout == b"+"
        assert (pipe.returned(), pipe.take(9)) == (1, 1), "what came back is not handed out before we say so"
        assert (pipe.returned(), pipe.take(9)) == (0, 0)
    with pytest.raises(OSError):
        os.fstat(reading)


def test_a_client_that_does_not_block_leaves_others_as_they_are() -> None:
    with TokenPipe(Form.DESCRIPTORS) as pipe:
        reading = int(pipe.auth.partition(",")[0])
        os.set_blocking(reading, False)
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
        os.set_blocking(reading, True)
        assert pipe.take(1) == 0, "our own opening never blocks"


def test_a_full_pipe_takes_what_fits() -> None:
    with TokenPipe(Form.FIFO) as pipe:
        put = pipe.put(1 << 20)
        assert 4096 <= put < 1 << 20
        assert pipe.put(1) == 0
        assert pipe.take(1 << 20) == put
