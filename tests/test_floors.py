"""The floors of the house: lakehouse <- resources <- assets, and no circles."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("lakehouse", "resources", "assets")
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for floor in FLOORS
    for file in sorted((ROOT / floor).rglob("*.py"))
}


def imports_of(module: str) -> set[str]:
    """Every module that a file names in an import, wherever in the file."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module} imports relatively"
            named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return named


def test_the_library_never_imports_dagster() -> None:
    offenders = [
        module
        for module in FILES
        if module.startswith("lakehouse")
        and any(name.split(".")[0].startswith("dagster") for name in imports_of(module))
    ]
    assert not offenders


@pytest.mark.parametrize(("floor", "above"), [(0, {"resources", "assets"}), (1, {"assets"})])
def test_nothing_imports_upward(floor: int, above: set[str]) -> None:
    offenders = {
        module: upward
        for module in FILES
        if module.split(".")[0] == FLOORS[floor]
        and (upward := {name for name in imports_of(module) if name.split(".")[0] in above})
    }
    assert not offenders


def test_no_file_imports_itself_through_others() -> None:
    graph = {
        module: {name for name in imports_of(module) if name in FILES and name != module}
        for module in FILES
    }
    TopologicalSorter(graph).prepare()  # raises CycleError and names the circle
