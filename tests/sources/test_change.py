"""A changed, replaced, newly shadowing or deleted header is always noticed, also within one clock tick."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.sources.trees import Project, wait_until, write


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write(
        tmp_path,
        {
            "main.c": '#include "a.h"\n#include <s.h>\nint main;\n',
            "a.h": '#include "b.h"\n',
            "inc/b.h": "int b;\n",
            "sys/s.h": "int s;\n",
        },
    )
    return Project(tmp_path, angle=("early", "inc", "sys"))


def test_nothing_changed_gives_the_same_object_and_reads_nothing(project: Project) -> None:
    first = project.settle()
    read = project.index.world.files_read
    walked = project.index.counts["walked"]
    assert project.closure() is first
    assert project.index.world.files_read == read
    assert project.index.counts["walked"] == walked


def test_edits_of_equal_size_and_time_are_all_noticed(project: Project) -> None:
    """``Project.closure`` compares each digest with the disk; the times are even set back."""
    header = project.root / "inc/b.h"
    seen = set()
    for number in range(300):
        header.write_text(f"int b{number:03};\n")
        os.utime(header, ns=(10**18, 10**18))
        seen.add(next(file.digest for file in project.closure().files if file.path.endswith(b"/b.h")))
    assert len(seen) == 300


def test_an_edit_after_settling_is_noticed(project: Project) -> None:
    first = project.settle()
    status = os.stat(project.root / "inc/b.h")
    (project.root / "inc/b.h").write_text("int c;\n")
    os.utime(project.root / "inc/b.h", ns=(status.st_atime_ns, status.st_mtime_ns))
    second = project.closure()
    assert second is not first
    assert second.serial > first.serial


def test_the_primary_source_counts(project: Project) -> None:
    first = project.closure()
    (project.root / "main.c").write_text('#include "inc/b.h"\n')
    assert project.closure().files[0].digest != first.files[0].digest
    assert project.names() == {"main.c", "inc/b.h"}


def test_regenerated_with_the_same_text_is_the_same_closure(project: Project) -> None:
    first = project.settle()
    (project.root / "inc/b.h").unlink()
    (project.root / "inc/b.h").write_text("int b;\n")
    assert project.closure() is first


def test_a_header_that_appears_earlier_in_the_path(project: Project) -> None:
    write(project.root, {"early/other.h": ""})
    project.settle()
    write(project.root, {"early/s.h": "int shadow;\n"})
    assert project.names() == {"main.c", "a.h", "inc/b.h", "early/s.h"}
    (project.root / "early/s.h").unlink()
    assert "sys/s.h" in project.names()


def test_a_header_that_appears_beside_its_includer(project: Project) -> None:
    project.settle()
    write(project.root, {"b.h": "int near;\n"})
    assert project.names() == {"main.c", "a.h", "b.h", "sys/s.h"}


def test_appearing_and_vanishing_within_one_tick(project: Project) -> None:
    write(project.root, {"early/other.h": ""})
    for _ in range(100):
        write(project.root, {"early/s.h": "int shadow;\n"})
        assert "early/s.h" in project.names()
        (project.root / "early/s.h").unlink()
        assert "sys/s.h" in project.names()


def test_a_search_directory_created_later(project: Project) -> None:
    project.settle()
    write(project.root, {"early/s.h": "int shadow;\n"})
    assert "early/s.h" in project.names()
    shutil.rmtree(project.root / "early")
    assert "sys/s.h" in project.names()


def test_a_search_directory_created_later_below_a_missing_one(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "#include <s.h>\n", "sys/s.h": ""})
    project = Project(tmp_path, angle=("not/yet/here", "sys"))
    project.settle()
    (tmp_path / "not").mkdir()
    assert project.names() == {"main.c", "sys/s.h"}
    (tmp_path / "not/yet").mkdir()
    assert project.names() == {"main.c", "sys/s.h"}
    project.settle()
    write(tmp_path, {"not/yet/here/s.h": ""})
    assert project.names() == {"main.c", "not/yet/here/s.h"}


def test_a_subdirectory_created_later(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "#include <sub/deep/s.h>\n", "sys/sub/deep/s.h": "", "inc/x": ""})
    project = Project(tmp_path, angle=("inc", "sys"))
    project.settle()
    (tmp_path / "inc/sub").mkdir()
    project.settle()
    write(tmp_path, {"inc/sub/deep/s.h": ""})
    assert project.names() == {"main.c", "inc/sub/deep/s.h"}


def test_a_deleted_header(project: Project) -> None:
    project.settle()
    (project.root / "sys/s.h").unlink()
    assert project.names() == {"main.c", "a.h", "inc/b.h"}
    write(project.root, {"sys/s.h": "int again;\n"})
    assert "sys/s.h" in project.names()


def test_a_deleted_source_is_refused(project: Project) -> None:
    project.settle()
    (project.root / "main.c").unlink()
    assert project.refusal() == "source-missing"


def test_a_header_moved_between_directories(project: Project) -> None:
    project.settle()
    os.rename(project.root / "inc/b.h", project.root / "sys/b.h")
    assert "sys/b.h" in project.names()
    assert "inc/b.h" not in project.names()


def test_a_replaced_header(project: Project) -> None:
    """As git checkout does it: a new inode under the old name, by rename."""
    project.settle()
    write(project.root, {"new": "int B;\n"})
    os.rename(project.root / "new", project.root / "inc/b.h")
    project.closure()


def test_a_switched_link_to_a_directory(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"main.c": "#include <s.h>\n", "v1/s.h": "int v;\n", "v2/s.h": "int v;\n", "now": "-> v1"},
    )
    project = Project(tmp_path, angle=("now",))
    assert {"v1/s.h", "main.c"} == project.names()
    project.settle()
    (tmp_path / "next").symlink_to("v2")
    os.rename(tmp_path / "next", tmp_path / "now")
    closure = project.closure()
    assert project.names() == {"main.c", "v2/s.h"}
    assert (os.fsencode(tmp_path / "now"), os.fsencode(tmp_path / "v2")) in closure.links


def test_a_switched_link_to_a_header(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": '#include "s.h"\n', "1.h": "1", "2.h": "2", "s.h": "-> 1.h"})
    project = Project(tmp_path)
    assert project.names() == {"main.c", "1.h"}
    (tmp_path / "s.h").unlink()
    (tmp_path / "s.h").symlink_to("2.h")
    assert project.names() == {"main.c", "2.h"}
    (tmp_path / "s.h").unlink()
    (tmp_path / "s.h").write_text("3")
    assert project.names() == {"main.c", "s.h"}


def test_a_link_to_nothing_that_comes_to_lead_somewhere(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "#include <s.h>\n", "inc/s.h": "-> ../later.h", "sys/s.h": ""})
    project = Project(tmp_path, angle=("inc", "sys"))
    project.settle()
    assert project.names() == {"main.c", "sys/s.h"}
    write(tmp_path, {"later.h": ""})
    assert project.names() == {"main.c", "later.h"}


def test_a_directory_with_a_headers_name(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "#include <s>\n", "inc/s/x": "", "sys/s": ""})
    project = Project(tmp_path, angle=("inc", "sys"))
    project.settle()
    assert project.names() == {"main.c", "sys/s"}
    shutil.rmtree(tmp_path / "inc/s")
    write(tmp_path, {"inc/s": ""})
    assert project.names() == {"main.c", "inc/s"}


def test_another_branch_is_checked_out(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    project.settle()
    other = tmp_path_factory.mktemp("other")
    write(other, {"main.c": '#include "c.h"\n', "c.h": "#include <t.h>\n", "early/t.h": "", "sys/s.h": "!"})
    for name in ("main.c", "a.h", "inc", "sys"):
        path = project.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(other, project.root, dirs_exist_ok=True)
    assert project.names() == {"main.c", "c.h", "early/t.h"}


def test_objects_written_beside_the_sources_cost_no_walk(project: Project) -> None:
    first = project.settle()
    walked = project.index.counts["walked"]
    for number in range(5):
        write(project.root, {f"{number}.o": ""})
        assert project.closure() is first
    assert project.index.counts["walked"] == walked


def test_one_sources_change_leaves_another_closure_alone(project: Project) -> None:
    write(project.root, {"two.c": "#include <s.h>\n"})
    two = project.request("two.c")
    project.closure(two)
    project.settle()
    wait_until(lambda: project.closure(two) is project.closure(two))
    first = project.closure(two)
    write(project.root, {"a.h": "changed"})
    project.closure()
    assert project.closure(two) is first


def test_two_projects_with_the_same_relative_paths(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, {"main.c": '#include "a.h"\n', "a.h": name})
    one, two = Project(tmp_path / "one"), Project(tmp_path / "two")
    two.index = one.index
    digests = [project.closure().files[1].digest for project in (one, two)]
    assert digests[0] != digests[1]


def test_reading_verifies(project: Project) -> None:
    file = project.settle().files[0]
    assert project.index.read(file) == (project.root / "main.c").read_bytes()
    (project.root / "main.c").write_text("other")
    assert project.index.read(file) is None
    (project.root / "main.c").unlink()
    assert project.index.read(file) is None


def test_a_search_directory_that_went_before_the_compiler_was_asked(project: Project) -> None:
    """Another job's search path has made it known; this one's says that it is not there."""
    project.settle()
    shutil.rmtree(project.root / "inc")
    write(project.root, {"sys/b.h": "int other;\n"})
    assert "sys/b.h" in project.names(project.request(words=(b"-DANOTHER_SEARCH_PATH",)))
