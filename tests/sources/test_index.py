"""Answers other than a plain closure, what a closure carries besides files, what is remembered."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sources.trees import Project, relative, wait_until, write
from zdistcc.errors import Reason
from zdistcc.sources import index as index_module
from zdistcc.sources.index import SourceIndex
from zdistcc.sources.model import Closure, Link, NeedsCompiler, NeedsSearchPath, Unclosable
from zdistcc.sources.search_probe import close


def cautions(closure: Closure) -> set[str]:
    return {caution.reason.word for caution in closure.cautions}


def test_the_search_path_is_asked_for_once_per_flags(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "", "two.c": ""})
    project = Project(tmp_path)
    assert isinstance(project.index.closure(project.request()), NeedsSearchPath)
    project.closure()
    assert isinstance(project.index.closure(project.request("two.c")), Closure)
    other = project.request("two.c", words=(b"-Iinc",))
    assert isinstance(project.index.closure(other), NeedsSearchPath)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("char *s = __TIMESTAMP__;", "file-timestamp"),
        ('#pragma GCC dependency "x.h"', "pragma-reads-file"),
        ('asm(".incbin " NAME);', "assembler-reads-file"),
        ("#if __has_include(NAME(x))\n#endif\n", "computed-probe"),
        ('#define NAME "/etc/passwd"\n#include NAME\n', "absolute-include"),
        ('asm(".incbin \\"/etc/passwd\\"");', "absolute-include"),
    ],
)
def test_what_no_list_of_files_can_settle(tmp_path: Path, text: str, word: str) -> None:
    write(tmp_path, {"main.c": '#include "a.h"\n', "a.h": text})
    assert Project(tmp_path).refusal() == word


def test_a_refusal_is_remembered_and_taken_back(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "a.h"\n', "a.h": "__TIMESTAMP__"})
    project = Project(tmp_path)
    assert project.refusal() == "file-timestamp"

    def remembered() -> bool:
        walked, read = project.index.counts["walked"], project.index.world.files_read
        assert project.refusal() == "file-timestamp"
        return (project.index.counts["walked"], project.index.world.files_read) == (walked, read)

    wait_until(remembered)
    write(tmp_path, {"a.h": "fine"})
    assert project.names() == {"main.c", "a.h"}
    (tmp_path / "a.h").unlink()
    os.mkfifo(tmp_path / "a.h")
    assert project.refusal() == "source-not-regular"
    (tmp_path / "a.h").unlink()
    assert project.names() == {"main.c"}
    (tmp_path / "main.c").unlink()
    assert project.refusal() == "source-missing"
    write(tmp_path, {"main.c": "__TIMESTAMP__"})
    assert project.refusal() == "file-timestamp"
    write(tmp_path, {"main.c": ""})
    project.closure()


def test_modules_are_refused_where_the_language_has_them(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "export module a;\n"})
    project = Project(tmp_path)
    assert project.refusal(project.request(language="c++", words=(b"-std=c++20",))) == "module-unit"
    assert project.refusal(project.request(language="c++", words=(b"-fmodules-ts",))) == "module-unit"
    project.closure(project.request(language="c++", words=(b"-std=c++17",)))
    project.closure(project.request(language="c"))


def test_cautions_name_their_file(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "a.h"\nchar *d = __DATE__;\n', "a.h": '#include "/etc/hostname"\n'})
    closure = Project(tmp_path).closure()
    assert [(caution.reason, os.path.basename(caution.path)) for caution in closure.cautions] == [
        (Reason.DATE_OR_TIME, b"main.c"),
        (Reason.ABSOLUTE_INCLUDE, b"a.h"),
    ]
    assert os.path.realpath(b"/etc/hostname") in {file.path for file in closure.files}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "pipe.h"\n'})
    os.mkfifo(tmp_path / "pipe.h")
    assert Project(tmp_path).refusal() == "source-not-regular"
    (tmp_path / "pipe.h").unlink()
    (tmp_path / "pipe.h").symlink_to("pipe.h")
    assert Project(tmp_path).refusal() == "source-unreadable"
    assert Project(tmp_path).refusal(Project(tmp_path).request("none.c")) == "source-missing"


def test_a_name_of_absurd_depth(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "' + "x/../" * 2000 + 'a.h"\n'})
    assert Project(tmp_path).refusal() == "source-unreadable"


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "huge.h"\n'})
    with open(tmp_path / "huge.h", "wb") as file:
        file.truncate(300 << 20)
    assert Project(tmp_path).refusal() == "source-too-large"


def test_embedded_files_are_data(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.c": '#embed "d.bin"\n#embed <e.bin>\n#if __has_embed("f.bin")\n#endif\n',
            "d.bin": '#include "not-read.h"\n',
            "not-read.h": "",
            "res/e.bin": b"\0\xff",
            "res/f.bin": "",
        },
    )
    project = Project(tmp_path)
    request = project.request(words=(b"--embed-dir=" + os.fsencode(tmp_path / "res"),))
    from zdistcc.sources.search_path import parse

    printed = b'#include "..." search starts here:\n#include <...> search starts here:\nEnd of search list.\n'
    search = parse(printed, request)
    assert not isinstance(search, Unclosable)
    project.index.learn_search_path(request, search)
    assert project.names(request) == {"main.c", "d.bin", "res/e.bin", "res/f.bin"}


def test_computed_includes_by_definitions_anywhere(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.c": '#include "config.h"\n#include CONFIG\n#include GIVEN\n#include NOBODY_DEFINES\n',
            "config.h": '#ifdef A\n#define CONFIG "a.h"\n#else\n#define CONFIG OTHER\n#endif\n'
            "#define OTHER <b.h>\n#define CONFIG 1\n#define MORE <c.h>\n",
            "inc/a.h": "",
            "inc/b.h": "#include MORE\n",
            "inc/c.h": "",
            "inc/given.h": "",
        },
    )
    project = Project(tmp_path, angle=("inc",))
    request = project.request(defines=(b'-DGIVEN="given.h"', b"-DNDEBUG"))
    assert project.names(request) == {"main.c", "config.h", "inc/a.h", "inc/b.h", "inc/c.h", "inc/given.h"}
    assert "inc/given.h" not in project.names(project.request())


@pytest.mark.parametrize(
    "text",
    [
        "#include F(x)\n",
        "#define H F(x)\n#include H\n",
        "#define H <sys/linux.h>\n#include H\n",
        "#define H <D/x.h>\n#define D d\n#include H\n",
        "#include __FILE__\n",
    ],
)
def test_computed_includes_that_only_the_compiler_knows(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"main.c": text})
    answer = Project(tmp_path).answer()
    assert isinstance(answer, NeedsCompiler)
    assert answer.reason is Reason.COMPUTED_INCLUDE


class Taught:
    """A project with one include that has to be asked for, and the compiler's answer."""

    def __init__(self, root: Path) -> None:
        write(
            root,
            {
                "main.c": "#include F(x)\n",
                "inc/deep/x.h": '#include "y.h"\n',
                "inc/deep/y.h": "",
                "pre/n": "",
            },
        )
        self.project = Project(root, angle=("pre", "inc"))
        self.printed = b"x: main.c inc/deep/x.h"

    def ask(self) -> NeedsCompiler:
        answer = self.project.answer()
        assert isinstance(answer, NeedsCompiler), answer
        return answer

    def teach(self) -> Closure:
        """As often as it takes for the files to be older than the question."""
        answers: list[object] = [self.project.index.teach(self.ask(), self.printed)]
        wait_until(lambda: self._again(answers))
        assert isinstance(answers[-1], Closure)
        return answers[-1]

    def _again(self, answers: list[object]) -> bool:
        last = answers[-1]
        if isinstance(last, NeedsCompiler):
            answers.append(self.project.index.teach(last, self.printed))
        return isinstance(last, Closure)


def test_what_the_compiler_said_holds_until_a_file_changes(tmp_path: Path) -> None:
    taught = Taught(tmp_path)
    closure = taught.teach()
    assert relative(closure, tmp_path) == {"main.c", "inc/deep/x.h", "inc/deep/y.h"}
    assert taught.project.closure() is closure
    write(tmp_path, {"inc/deep/x.h": ""})
    taught.ask()


def test_a_shadow_of_what_the_compiler_said(tmp_path: Path) -> None:
    taught = Taught(tmp_path)
    taught.teach()
    write(tmp_path, {"pre/deep/x.h": ""})
    taught.ask()


def test_a_file_that_changed_while_the_compiler_ran(tmp_path: Path) -> None:
    taught = Taught(tmp_path)
    asked = taught.ask()
    write(tmp_path, {"main.c": "#include F(y)\n"})
    assert isinstance(taught.project.index.teach(asked, taught.printed), NeedsCompiler)
    write(tmp_path, {"inc/deep/x.h": "new"})
    assert isinstance(taught.project.index.teach(taught.ask(), taught.printed), NeedsCompiler)


def test_a_compiler_that_says_nothing_or_names_what_is_not_there(tmp_path: Path) -> None:
    taught = Taught(tmp_path)
    answer = taught.project.index.teach(taught.ask(), b"")
    assert isinstance(answer, Unclosable)
    assert answer.reason is Reason.DEPENDENCIES_UNKNOWN
    answer = taught.project.index.teach(taught.ask(), b"x: main.c gone.h")
    assert isinstance(answer, Unclosable)
    assert answer.reason is Reason.SOURCES_CHANGING


def test_a_reported_miss_goes_by_the_compiler_and_then_by_nobody(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "", "secret.h": ""})
    project = Project(tmp_path)
    request = project.request()
    project.closure()
    project.index.report_miss(request, b"secret.h")
    answer = project.answer()
    assert isinstance(answer, NeedsCompiler)
    assert answer.reason is Reason.SCANNER_MISS
    assert project.index.counts["scanner-miss"] >= 1
    answers: list[object] = [answer]

    def done() -> bool:
        last = answers[-1]
        if isinstance(last, NeedsCompiler):
            answers.append(project.index.teach(last, b"x: main.c secret.h"))
        return isinstance(last, Closure)

    wait_until(done)
    assert project.names() == {"main.c", "secret.h"}
    project.index.report_miss(request, b"other.h")
    assert project.refusal() == "scanner-miss"


def test_one_file_by_two_names_is_one_file_and_a_link(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"main.c": '#include "a.h"\n#include "b.h"\n#include "c.h"\n#include "x/../a.h"\n', "a.h": "once"},
    )
    os.link(tmp_path / "a.h", tmp_path / "b.h")
    (tmp_path / "c.h").symlink_to("a.h")
    (tmp_path / "x").mkdir()
    closure = Project(tmp_path).closure()
    root = os.fsencode(os.path.realpath(tmp_path))
    assert [file.path for file in closure.files] == [root + b"/main.c", root + b"/a.h"]
    assert set(closure.links) == {Link(root + b"/b.h", root + b"/a.h"), Link(root + b"/c.h", root + b"/a.h")}
    assert root + b"/x" in closure.directories
    assert root in closure.directories


def test_equal_files_carry_their_times(tmp_path: Path) -> None:
    """GCC takes two files of equal bytes and time for one at ``#pragma once``."""
    write(tmp_path, {"main.c": '#include "a.h"\n#include "b.h"\n#include "c.h"\n'})
    write(tmp_path, {"a.h": "same", "b.h": "same", "c.h": "other"})
    os.utime(tmp_path / "a.h", (1_000, 1_000))
    os.utime(tmp_path / "b.h", (2_000, 2_000))
    assert [file.mtime_s for file in Project(tmp_path).closure().files] == [0, 1_000, 2_000, 0]


def test_a_precompiled_header_newer_than_its_text_is_a_caution(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "p.h"\n', "p.h": '#include "q.h"\n', "q.h": ""})
    project = Project(tmp_path)
    assert not project.closure().cautions
    made = tmp_path / "p.h.gch"
    wait_until(lambda: _newer(made, tmp_path / "q.h"))
    assert cautions(project.closure()) == {"precompiled-header"}
    assert b"p.h.gch" not in b"".join(file.path for file in project.closure().files)
    write(tmp_path, {"q.h": "changed"})
    assert project.refusal() == "stale-precompiled-header"
    made.unlink()
    assert not project.closure().cautions


def _newer(path: Path, than: Path) -> bool:
    path.write_bytes(b"gpch")
    return path.stat().st_mtime_ns > than.stat().st_ctime_ns


def test_a_precompiled_header_without_its_header_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "p.h"\n', "p.h.gch": ""})
    assert Project(tmp_path).refusal() == "stale-precompiled-header"


def test_a_precompiled_header_that_is_forced(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "", "p.h": ""})
    wait_until(lambda: _newer(tmp_path / "p.h.gch", tmp_path / "p.h"))
    project = Project(tmp_path)
    closure = project.closure(project.request(forced=("p.h",)))
    assert relative(closure, tmp_path) == {"main.c", "p.h"}
    assert cautions(closure) == {"precompiled-header"}


def test_a_new_index_starts_warm(tmp_path: Path) -> None:
    write(tmp_path, {"p/main.c": '#include "a.h"\n', "p/a.h": '#if __has_include("b.h")\n#endif\n', "p/b.h": ""})
    path = os.fsencode(tmp_path / "cache")
    first = Project(tmp_path / "p")
    first.index = SourceIndex(cache_path=path)
    closure = first.settle()
    assert first.index.save()
    second = Project(tmp_path / "p")
    second.index = SourceIndex(cache_path=path)
    assert second.closure().files == closure.files
    assert second.index.world.files_read == 0
    write(tmp_path, {"p/a.h": "changed"})
    third = Project(tmp_path / "p")
    third.index = SourceIndex(cache_path=path)
    assert third.names() == {"main.c", "a.h"}
    assert third.index.world.files_read == 1


def test_a_damaged_cache_is_an_empty_one(tmp_path: Path) -> None:
    write(tmp_path, {"p/main.c": ""})
    project = Project(tmp_path / "p")
    project.index = SourceIndex(cache_path=os.fsencode(tmp_path / "cache"))
    project.settle()
    assert project.index.save()
    data = (tmp_path / "cache").read_bytes()
    damaged = [data[:-1], data[:20], b"", data + b"x", b"x" + data[1:]]
    damaged += [data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :] for at in range(len(data))]
    for each in damaged:
        (tmp_path / "cache").write_bytes(each)
        again = Project(tmp_path / "p")
        again.index = SourceIndex(cache_path=os.fsencode(tmp_path / "cache"))
        again.closure()
        assert again.index.world.files_read >= 1
    shutil.rmtree(tmp_path / "p")
    unwritable = SourceIndex(cache_path=os.fsencode(tmp_path / "no/such/cache"))
    assert not unwritable.save()


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "MAX_REMEMBERED_CHECKS", 20)
    monkeypatch.setattr(index_module, "MAX_CONTEXTS", 2)
    monkeypatch.setattr(index_module, "MAX_PATHS", 40)
    write(tmp_path, {f"{number}.c": '#include "a.h"\n' for number in range(60)} | {"a.h": ""})
    project = Project(tmp_path)
    for number in range(60):
        words = (b"-I/%d" % (number % 4),)
        assert project.names(project.request(f"{number}.c", words=words)) == {f"{number}.c", "a.h"}
    assert len(project.index._contexts) <= 2
    assert project.index._weight == sum(plan.weight for plan in project.index._plans.values()) <= 20
    assert len(project.index.world.files) <= 45


@pytest.mark.parametrize(
    ("words", "compiler", "word"),
    [
        ((), b"/nonexistent/gcc", "search-path-unknown"),
        ((), b"/bin/true", "search-path-unknown"),
        ((b"-F.",), b"clang", "framework-search"),
        ((b"-Ix.hmap",), b"gcc", "header-map"),
        ((b"-ivfsoverlay", b"x.yaml"), b"clang", "header-map"),
    ],
)
def test_searches_that_are_refused(tmp_path: Path, words: tuple[bytes, ...], compiler: bytes, word: str) -> None:
    write(tmp_path, {"main.m": ""})
    request = Project(tmp_path).request("main.m", language="objective-c", words=words)
    path = compiler if compiler.startswith(b"/") else shutil.which(compiler)
    assert path is not None
    import dataclasses

    answer = close(SourceIndex(), dataclasses.replace(request, compiler=path))
    assert isinstance(answer, Unclosable)
    assert answer.reason.word == word


def test_a_precompiled_header_made_by_gcc(tmp_path: Path) -> None:
    """The text shipped in its place gives the same preprocessed tokens."""
    write(tmp_path, {"main.c": '#include "p.h"\nint x = ONE;\n', "p.h": "#define ONE 1\n"})
    wait_until(lambda: _newer(tmp_path / "p.h.gch", tmp_path / "p.h"))
    subprocess.run(("gcc", "p.h"), cwd=tmp_path, check=True, capture_output=True)
    assert cautions(Project(tmp_path).closure()) == {"precompiled-header"}
