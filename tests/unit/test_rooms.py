"""The plan of the library: a room imports the rooms above it and none below, so nothing goes round in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.shared import ROOT

LIBRARY = ROOT / "scripts" / "cocomine"
ROOMS = (
    "base", "coco", "transfer", "synthetic", "sources", "annotations", "mining", "merging", "inquiry", "images",
    "imports", "splits", "masks", "tensors", "formats", "reader", "learning", "evaluation", "matching", "reporting",
    "provenance", "configuration",
)  # fmt: skip


def imported_rooms(path: Path) -> Iterator[str]:
    """Yield the rooms that a module imports, inside its functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cocomine."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("cocomine."))


def test_every_room_is_in_the_plan() -> None:
    assert {path.parent.name for path in LIBRARY.glob("*/__init__.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room: str) -> None:
    below = set(ROOMS[ROOMS.index(room) + 1 :])
    wrong = [
        f"{path.relative_to(LIBRARY)} imports {other}"
        for path in sorted((LIBRARY / room).rglob("*.py"))
        for other in imported_rooms(path)
        if other in below
    ]
    assert not wrong
