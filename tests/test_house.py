"""The rules of the house, read off the source: who may import whom, what pure code must not know, sizes, docstrings.

The rooms and their order are drawn in the docstring of `zdistcc`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import zdistcc

ROOT = Path(zdistcc.__file__).parent
REPO = ROOT.parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "project" not in path.relative_to(ROOT).parts)

TOP = {"errors", "config", "paths", "children", "logs"}
ROOMS = {
    "errors": set(),
    "config": {"errors", "distcc_variables"},
    "distcc_variables": set(),
    "paths": set(),
    "children": {"errors"},
    "logs": set(),
    "launcher": set(),
    "sample": set(),
    "wire": {"errors"},
    "store": {"errors"},
    "toolchain": {"errors"},
    "sources": {"errors"},
    "net": {"errors", "wire"},
    "schedule": {"errors", "toolchain.identity"},
    "discovery": {"errors"},
    "agent": {*TOP, "net", "discovery", "schedule", "sources", "toolchain", "wire"},
    "worker": {*TOP, "net", "discovery", "store", "toolchain", "wire"},
    "ui": {"errors"},
    "doctor": {"errors", "config", "paths", "discovery", "toolchain.lookup", "wire", "launcher.which"},
    "jobserver": set(),
    "cli": {
        *{"errors", "config", "paths", "ui", "worker", "doctor", "sample", "jobserver"},
        *{"toolchain.families", "toolchain.lookup", "toolchain.probe", "toolchain.probecache"},
        *{"wire.control", "wire.frames", "launcher.fallback", "launcher.which", "discovery.interfaces"},
    },
}
"""What a room may import beside itself: rooms, or single modules of them."""

HOMES = {
    "zeroconf": ("discovery",),
    "netifaces": ("discovery",),
    "typer": ("cli",),
    "rich": ("ui",),
    "zstandard": ("wire.codecs",),
    "lzallright": ("wire.lzo",),
    "msgspec": ("wire.messages", "agent", "discovery", "sources.cache"),
    "jeepney": ("worker.sleep",),
    "uvloop": ("agent.agent", "worker.main"),
    "hatchling": ("launcher.build",),
    "packaging": ("launcher.build",),
}
"""Who may import what does not come with Python."""

PURE = (
    "wire",
    "schedule",
    "toolchain",
    "discovery.advert",
    "discovery.distcc_advert",
    "discovery.hostspec",
    "discovery.stockad",
    "doctor.finding",
    "doctor.packages",
    "doctor.workers",
    "worker.names",
    "worker.translate",
    "worker.vet",
    "worker.admission",
    "worker.manners",
    "worker.bulletin",
    "worker.reports",
    "worker.access",
    "worker.depfile",
    "sources.model",
    "sources.scanner",
    "sources.dependencies",
    "store.mirror",
    "jobserver.tokens",
    "jobserver.words",
    "ui",
    "errors",
)
IMPURE = {"ui.live", "toolchain.probe", "toolchain.probecache", "toolchain.inventory", "toolchain.lookup"}
"""In a pure room, and there to ask the machine, or to drive the terminal."""
WORLD = {
    *{
        "asyncio",
        "http",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "shutil",
        "signal",
        "socket",
    },
    *{"ssl", "subprocess", "tempfile", "threading", "time", "urllib"},
}

MAX_LINES = 500
MAX_FUNCTION_LINES = 70


def name_of(path: Path) -> str:
    """`agent.main` for zdistcc/agent/main.py; `agent` for the room itself, empty for the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def imports(path: Path) -> Iterator[str]:
    """Every module that `path` imports, anywhere in it, in full."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                exists = (REPO / inner.replace(".", "/")).with_suffix(".py").exists() or (
                    REPO / inner.replace(".", "/") / "__init__.py"
                ).exists()
                yield inner if node.module.startswith("zdistcc") and exists else node.module


def own_imports(path: Path) -> Iterator[str]:
    """What of zdistcc a module imports, without the package's name."""
    for module in imports(path):
        if within(module, "zdistcc") and module != "zdistcc":
            yield module.removeprefix("zdistcc.")


def ids(path: Path) -> str:
    return name_of(path) or "zdistcc"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_imports_point_one_way(path: Path) -> None:
    room = name_of(path).partition(".")[0]
    if not room:
        assert not list(imports(path)), "zdistcc/__init__.py imports nothing"
        return
    assert room in ROOMS, f"a new room: say in ROOMS and in zdistcc/__init__.py what {room} may import"
    for module in own_imports(path):
        allowed = within(module, room) or any(within(module, place) for place in ROOMS[room])
        assert allowed, f"{name_of(path)} imports {module}"


def test_the_table_of_rooms_has_no_dead_rows() -> None:
    there = {name_of(path).partition(".")[0] for path in MODULES} - {""}
    assert set(ROOMS) == there
    assert {module for module in IMPURE if not (ROOT / module.replace(".", "/")).with_suffix(".py").exists()} == set()


def test_no_room_may_import_what_it_does_not() -> None:
    for room, allowed in ROOMS.items():
        taken = {module for path in MODULES if within(name_of(path), room) for module in own_imports(path)}
        dead = {place for place in allowed if not any(within(module, place) for module in taken)}
        assert not dead, f"{room} imports nothing of {dead}"


def test_the_map_names_every_room() -> None:
    text = zdistcc.__doc__ or ""
    for room in ROOMS:
        assert f"\n    {room}/" in text or f"\n    {room}.py" in text, f"{room} is not on the map"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_what_does_not_come_with_python_stays_at_home(path: Path) -> None:
    for module in imports(path):
        package = module.partition(".")[0]
        if package in sys.stdlib_module_names or package == "zdistcc":
            continue
        assert package in HOMES, f"{name_of(path)} imports {package}, which has no home"
        assert any(within(name_of(path), home) for home in HOMES[package]), f"{name_of(path)} imports {package}"


def test_every_home_is_lived_in() -> None:
    used = {module.partition(".")[0] for path in MODULES for module in imports(path)}
    assert set(HOMES) <= used
    for package, homes in HOMES.items():
        tenants = {name_of(path) for path in MODULES for module in imports(path) if module.partition(".")[0] == package}
        for home in homes:
            assert any(within(tenant, home) for tenant in tenants), f"{home} does not import {package}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if any(within(name_of(path), room) for room in PURE) and name_of(path) not in IMPURE],
    ids=ids,
)
def test_pure_code_knows_no_world(path: Path) -> None:
    taken = {module for module in imports(path) if module.partition(".")[0] in WORLD}
    assert not taken, f"{name_of(path)} is pure and imports {taken}"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_files_and_functions_have_a_size_and_modules_say_what_they_are_for(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring, f"{path} has no docstring"
    lines = path.read_text().count("\n")
    if lines > MAX_LINES:
        assert f"{MAX_LINES} lines" in " ".join(docstring.split()), f"{path} has {lines} lines and does not say why"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{path}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_nothing_is_left_to_be_done(path: Path) -> None:
    text = path.read_text()
    for word in ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "X" + "XX"):
        assert word not in text, f"{path}: {word}"


def modules_after(statement: str) -> set[str]:
    """What a fresh interpreter has imported after `statement`, beyond what it starts with."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    # -S: what .pth files of a virtual environment import is not ours.
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(REPO)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ended.stdout.split())


BEFORE_LISTENING = {
    *{"zdistcc", "zdistcc.agent", "zdistcc.agent.main"},
    *{"__future__", "contextlib", "os", "socket", "sys"},
    # What those need.
    *{"_collections", "_collections_abc", "_functools", "_operator", "_socket", "_stat", "array", "collections"},
    *{"collections.abc", "enum", "errno", "functools", "genericpath", "itertools", "keyword", "math", "operator"},
    *{"os.path", "posixpath", "reprlib", "select", "selectors", "stat", "types", "_abc", "abc", "_weakref"},
    *{"_thread", "builtins"},
}


def test_the_agent_listens_before_it_imports_anything_heavy() -> None:
    assert modules_after("import zdistcc.agent.main") <= BEFORE_LISTENING


FALLBACK = {
    *{"zdistcc", "zdistcc.launcher", "zdistcc.launcher.fallback"},
    *{"_signal", "_socket", "errno", "fcntl", "os", "select", "stat", "struct", "_struct", "sys", "time"},
    *{"posixpath", "genericpath", "os.path", "_stat", "_collections_abc", "abc", "_abc"},
}


def test_the_python_launcher_imports_next_to_nothing() -> None:
    assert modules_after("import zdistcc.launcher.fallback") <= FALLBACK


def test_the_top_level_is_as_agreed() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    if tracked.returncode:
        names = {path.name for path in REPO.iterdir() if not path.name.startswith(".")} - {"build", "dist", "venv"}
    else:
        names = {name.partition("/")[0] for name in tracked.stdout.decode().split("\0") if name}
    agreed = {"pyproject.toml", "zdistcc", "tests", "man", "README.md", "CHANGELOG.md", "LICENSE"}
    assert names - {".ci", ".gitignore"} == agreed
