"""The layout is the architecture: floors, purity, and one room that starts processes, proven from the syntax trees."""

import ast

from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_orxaq


PACKAGE = Path(pytest_orxaq.__file__).parent

# Imports go down only. Modules of one floor may import each other, except inside core/ and inside system/.
FLOORS = (
    {"actions", "model", "errors", "version"},
    {"core", "carried"},
    {"config", "mailbox", "catalogue"},
    {"system"},
    {"repository"},
    {"resilience", "testing"},
    {"faults"},
    {"report", "history", "inquest", "passes", "versions", "audience", "clearing", "recovery", "circuits", "replays"},
    {"attempts"},
    {"gate", "demonstration"},
    {"cli", "plugin", "rerun", "trial", "terms", "flaky"},
    {"__main__"},
)
FAMILIES = {"core", "system"}  # siblings in these never import each other

IMPURE = {
    "os",
    "time",
    "pathlib",
    "subprocess",
    "random",
    "secrets",
    "socket",
    "shutil",
    "tempfile",
    "datetime",
    "threading",
    "signal",
    "sys",
    "logging",
    "io",
}
STARTS_PROCESSES = {"subprocess", "multiprocessing", "pty"}
STARTING_CALLS = {
    "fork",
    "forkpty",
    "system",
    "popen",
    "posix_spawn",
    "posix_spawnp",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "spawnv",
    "spawnve",
}
# The shim is a program of its own, that becomes the command which it stands in front of.
MAY_START = {"system/process.py", "system/supervisor.py", "faults/shim.py"}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def floor_of(module: str) -> int:
    """The floor on which a module (as a path within the package) stands."""
    room = module.split("/", maxsplit=1)[0].removesuffix(".py")
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imports(module: str) -> Iterator[tuple[str, str]]:
    """(package-relative path, or "" for others; dotted name) of everything that a module imports, lazily too."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    here = module.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (("", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield "", node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                target = "/".join([*base, alias.name])
                inside = (PACKAGE / f"{target}.py").exists() or (PACKAGE / target).is_dir()
                yield (target if inside else "/".join(base)), alias.name


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__init__.py"])
def test_imports_go_down(module: str) -> None:
    """No module imports from a floor above its own, and none imports the package's face."""
    for target, name in imports(module):
        if target or name.startswith("pytest_orxaq"):
            assert target, f"{module} imports {name} absolutely, or from the package's face"
            assert floor_of(target) <= floor_of(module), f"{module} imports {target} from above"


@pytest.mark.parametrize("module", [m for m in MODULES if m.split("/")[0] in FAMILIES])
def test_siblings_stay_apart(module: str) -> None:
    """Rooms inside core/, and inside system/, know nothing of each other."""
    family = module.split("/", maxsplit=1)[0]
    for target, _ in imports(module):
        lent = (module, target) == ("system/process.py", "system/supervisor")  # two halves of one thing
        assert lent or not target.startswith(f"{family}/"), f"{module} imports its sibling {target}"


def test_faults_stand_apart() -> None:
    """The fixtures know of the machine and of how git is asked, of nothing above; and of them only their own command."""
    known = ("faults", "core/", "system/", "model", "errors", "repository/commands")
    for module in MODULES:
        for target, _ in imports(module):
            if module.startswith("faults/"):
                assert not target or target.startswith(known), f"{module} imports {target}"
            elif module != "cli/faults.py":
                assert not target.startswith("faults"), f"{module} imports {target}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("core/")])
def test_core_is_pure(module: str) -> None:
    """core/ has no clock, files, processes, randomness or environment."""
    for target, name in imports(module):
        assert target or name.split(".")[0] not in IMPURE, f"{module} imports {name}"
    calls = {
        node.func.id
        for node in ast.walk(ast.parse((PACKAGE / module).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "exec", "eval"}


@pytest.mark.parametrize("module", [m for m in MODULES if m not in MAY_START])
def test_one_room_starts_processes(module: str) -> None:
    """Only system/process and its supervisor start processes."""
    assert not {name.split(".")[0] for _, name in imports(module)} & STARTS_PROCESSES
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "os"
    }
    assert not called & STARTING_CALLS


@pytest.mark.parametrize("module", ["system/supervisor.py", "carried/orxaq_witness.py", "faults/shim.py"])
def test_what_runs_elsewhere_stands_alone(module: str) -> None:
    """The supervisor, the carried witness and the shim import nothing of ours: they run where we are not installed, or in haste."""
    for target, name in imports(module):
        assert not target
        assert not name.startswith("pytest_orxaq")


def test_the_picture_has_no_circle() -> None:
    """No two modules need each other, whichever way round."""
    arrows = {
        module: {t if t.endswith(".py") else f"{t}.py" for t, _ in imports(module) if t}
        for module in MODULES
        if m_is_module(module)
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in arrows.get(module, ()):
                visit(target, (*path, module))
            done.add(module)

    for module in arrows:
        visit(module, ())


def m_is_module(module: str) -> bool:
    """Whether a path is a room rather than a package's face."""
    return not module.endswith("__init__.py")
