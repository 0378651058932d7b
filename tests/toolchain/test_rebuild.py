"""Commands rebuilt for real compilers: the object and the dependency file are a local compile's."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.toolchain.commands import C_LINES, CLANG_LINES, CXX_LINES, GCC_LINES, SOURCES, lines, words
from zdistcc.errors import Reason
from zdistcc.toolchain import rebuild
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import Invocation, scan
from zdistcc.toolchain.languages import Driver
from zdistcc.toolchain.vetting import vet

FAMILIES = {"gcc": Family.GCC, "g++": Family.GCC, "clang": Family.CLANG, "clang++": Family.CLANG}
IMPLIED = {"+64bit", "+cx8", "+cmov"}  # every x86-64 has them, and there is no option
C_DRIVERS = {"gcc": b"gcc", "g++": b"gcc", "clang": b"clang", "clang++": b"clang"}
CASES = [
    *((compiler, line) for compiler in ("gcc", "clang") for line in lines(C_LINES)),
    *((compiler, line) for compiler in ("g++", "clang++") for line in lines(CXX_LINES)),
    *(("gcc", line) for line in lines(GCC_LINES)),
    *(("clang", line) for line in lines(CLANG_LINES)),
]


def run(args: list[bytes], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(args, cwd=cwd, capture_output=True, env=env, stdin=subprocess.DEVNULL, check=False)


def read(compiler: str, line: list[bytes]) -> Invocation:
    driver = Driver.CXX if "++" in compiler else Driver.C
    found = scan(line, family=FAMILIES[compiler], driver=driver, env={}, read_file=lambda path: None)
    assert isinstance(found, Invocation), found
    return found


def take(path: Path) -> bytes:
    """A file's content; the file is gone afterwards."""
    content = path.read_bytes()
    path.unlink()
    return content


def natives(compiler: str, inv: Invocation, cwd: Path) -> list[bytes]:
    """Words for this machine, as the driver passes them on."""
    if not inv.native:
        return []
    said = run([compiler.encode(), *inv.native, *b"-### -E -x c /dev/null".split()], cwd).stderr.decode()
    command = next(shlex.split(line) for line in said.splitlines() if "cc1" in line)
    pairs = list(itertools.pairwise(command))
    if inv.family is Family.GCC:
        found = [f"--param={value}" if word == "--param" else word for word, value in pairs]
        kept = [word for word in found if word.startswith(("-m", "--param="))]
        assert kept
        return [word.encode() for word in kept]
    words = [f"-m{'arch' if word == '-target-cpu' else 'tune'}={value}" for word, value in pairs if "-cpu" in word]
    features = [value for word, value in pairs if word == "-target-feature" and value not in IMPLIED]
    words += [("-m" if value[0] == "+" else "-mno-") + value[1:] for value in features]
    return [word.encode() for word in words]


@pytest.mark.parametrize(("compiler", "line"), CASES)
def test_split_compile_equals_local_compile(compiler: str, line: str, tmp_path: Path) -> None:
    client, worker = tmp_path / "client" / "w", tmp_path / "worker"
    for name, text in SOURCES.items():
        (client / name).parent.mkdir(parents=True, exist_ok=True)
        (client / name).write_text(text)
    (client / "o").mkdir()
    worker.mkdir()
    command = words(line)
    inv = read(compiler, command)

    local = run([compiler.encode(), *command], client)
    assert local.returncode == 0, local.stderr
    output = client / os.fsdecode(inv.output)
    expected = take(output)
    depfile = client / os.fsdecode(inv.depfile.path) if inv.depfile else None
    expected_dependencies = take(depfile) if depfile else b""
    left = {str(path.relative_to(client)) for path in client.rglob("*") if path.is_file()} - set(SOURCES)
    assert not left, "the compile writes a file the invocation does not tell of"

    piped = run([compiler.encode(), *rebuild.preprocess_args(inv, output=None)], client)
    if depfile:
        assert take(depfile) == expected_dependencies
    text = worker / "text"
    to_file = run([compiler.encode(), *rebuild.preprocess_args(inv, output=os.fsencode(text))], client)
    assert to_file.returncode == 0, to_file.stderr
    assert text.read_bytes() == piped.stdout
    if depfile:
        assert depfile.read_bytes() == expected_dependencies

    args = rebuild.remote_args(inv, native=natives(compiler, inv, client))
    assert vet(args, family=inv.family) == tuple(args)
    tail = [b"-x", rebuild.explicit_language(inv), inv.stage.value, b"-o", b"out", b"text"]
    remote = run([C_DRIVERS[compiler], *args, *tail], worker)
    assert remote.returncode == 0, remote.stderr
    assert rebuild.text_reason(text.read_bytes(), inv) is None
    if inv.text_exact:
        assert (worker / "out").read_bytes() == expected
        assert sorted(to_file.stderr + remote.stderr) == sorted(local.stderr)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('__asm__(".incbin \\"x\\"");', Reason.INCLUDES_BINARY),
        ('__asm__(".include \\"x\\"");', Reason.INCLUDES_BINARY),
        ("int c = __builtin_COLUMN();", Reason.SOURCE_COLUMNS),
        ("int c; // x.include", None),
    ],
)
def test_text_that_must_stay(compiler: str, content: str, reason: Reason | None) -> None:
    inv = read(compiler, [b"-c", b"x.c"])
    assert rebuild.text_reason(content.encode(), inv) is reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b'# 0 "x.c"\nint a;', None), (b'#line 1 "x.c"\n', None), (b"int a;", Reason.UNNAMED_TEXT)],
)
def test_preprocessed_source_has_to_name_its_file(text: bytes, reason: Reason | None) -> None:
    assert rebuild.text_reason(text, read("gcc", [b"-c", b"x.i"])) is reason


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_preprocessed_source_is_text_already(compiler: str, tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("int f(void) { return 1; }\n")
    command = [b"-O1", b"-c", b"x.i"]
    inv = read(compiler, command)
    assert inv.language.preprocessed
    run([compiler.encode(), b"-E", b"x.c", b"-o", b"x.i"], tmp_path)
    run([compiler.encode(), *command], tmp_path)
    (tmp_path / "x.i").rename(tmp_path / "text")
    tail = [b"-x", rebuild.explicit_language(inv), b"-c", b"-o", b"out", b"text"]
    run([compiler.encode(), *rebuild.remote_args(inv, native=()), *tail], tmp_path)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "x.o").read_bytes()


def test_file_names_in_text_are_mapped_by_gcc_only() -> None:
    text = b"const char *f = __builtin_FILE();"
    mapped = [b"-c", b"x.c", b"-ffile-prefix-map=a=b"]
    assert rebuild.text_reason(text, read("gcc", mapped)) is None
    assert rebuild.text_reason(text, read("clang", mapped)) is Reason.PREPROCESSOR_OPTION
    assert rebuild.text_reason(text, read("clang", mapped[:2])) is None


@pytest.mark.parametrize(
    ("line", "native", "expected"),
    [
        (b"-c x.c -O2 -DX -Iy -MD -o z.o -lm -Wall -mavx", b"", b"-O2 -Wall -mavx"),
        (b"-c x.c -O2 -mno-avx -march=native -g", b"-march=X -mtune=Y", b"-march=X -mtune=Y -O2 -g"),
        (b"-c x.c -march=haswell -mtune=native", b"-march=haswell -mtune=Y", b"-march=haswell -mtune=Y"),
    ],
)
def test_machine_words_are_replaced_together(line: bytes, native: bytes, expected: bytes) -> None:
    assert rebuild.remote_args(read("gcc", line.split()), native=native.split()) == expected.split()


def test_native_that_nothing_stands_for_is_an_error() -> None:
    inv = read("gcc", [b"-c", b"x.c", b"-march=native"])
    with pytest.raises(ValueError, match="native"):
        rebuild.remote_args(inv)
    with pytest.raises(ValueError, match="native"):
        rebuild.headers_args(inv)


def test_derived_names_are_never_taken_for_response_files() -> None:
    for compiler in ("gcc", "clang"):
        inv = read(compiler, [b"-MD", b"-c", b"d/@x.c"])
        assert b"-MQ@x.o" in rebuild.preprocess_args(inv, output=None)
        assert b"-MQ@x.o" in rebuild.headers_args(inv)
