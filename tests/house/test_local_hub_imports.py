"""The files of ``testing/`` import each other in one direction only: the local Hub's state is below its routes."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

PACKAGE = "zaikio_oauth.testing"
TESTING = Path(__file__).parents[2] / "src" / "zaikio_oauth" / "testing"


def modules(folder: Path) -> dict[str, Path]:
    """Return every file below the folder by its dotted name. The file of a package is its ``__init__.py``."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join([PACKAGE, *(part for part in parts if part != "__init__")])] = path
    return found


def imports(folder: Path) -> dict[str, set[str]]:
    """Return the files that each file imports, including lazy imports and those for types only.

    ``import a.b`` also runs ``a/__init__.py``, but uses no name of it, so it counts as an import of ``a.b`` only.
    """
    files = modules(folder)
    graph: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & files.keys()
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*above, *filter(None, [node.module])])
                for alias in node.names:
                    submodule = f"{module}.{alias.name}"
                    graph[name] |= {submodule if submodule in files else module} & files.keys()
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components with more than one file, or with one that imports itself."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in graph[waiting.pop()] - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    reach = {name: reachable(name) for name in graph}
    components = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph}
    return sorted(sorted(component) for component in components if component)


def test_no_file_imports_itself_through_others() -> None:
    """There is no cycle in ``testing/`` through any kind of import."""
    assert cycles(imports(TESTING)) == []


def test_the_state_of_the_local_hub_imports_nothing_above_it() -> None:
    """The files of the state import only each other."""
    state = f"{PACKAGE}.local_hub.state"
    above = {
        f"{name} imports {target}"
        for name, targets in imports(TESTING).items()
        for target in targets
        if name.startswith(state) and not target.startswith(state)
    }
    assert above == set()


@pytest.mark.parametrize(
    "planted",
    [
        "from zaikio_oauth.testing.local_hub.hub import LocalHub",
        "import zaikio_oauth.testing.local_hub.hub",
        "from zaikio_oauth.testing.local_hub import hub",
        "from ..hub import LocalHub",
        "from .. import hub",
        "def late():\n    from zaikio_oauth.testing.local_hub.hub import LocalHub",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zaikio_oauth.testing import LocalHub",
    ],
    ids=str,
)
def test_a_planted_cycle_is_found(tmp_path: Path, planted: str) -> None:
    """Each kind of import from the state to LocalHub makes a cycle, which the test above reports."""
    copy = tmp_path / "testing"
    shutil.copytree(TESTING, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "local_hub" / "state" / "directory.py").open("a") as module:
        module.write(f"\n{planted}\n")

    (cycle,) = cycles(imports(copy))
    assert f"{PACKAGE}.local_hub.hub" in cycle
    assert f"{PACKAGE}.local_hub.state.directory" in cycle
