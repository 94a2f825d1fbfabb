#!/usr/bin/env python3
"""Count the rooms of a package and the imports between them.

    scripts/rooms.py vcam
    scripts/rooms.py export --arrows

A room is a sub-package, or a module that lies directly in the package. An arrow is a pair of rooms
of which one imports the other, anywhere in its code. A floor is how many rooms lie below one
another at most. Imports for the type checker only (`if TYPE_CHECKING`) do not count.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path


def room_of(module: str, package: str) -> str:
    """The room of a dotted module name; the package itself for its `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == package else package


def imports_of(path: Path, modules: set[str]) -> Iterator[str]:
    """The modules among `modules` that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield node.module


def arrows_of(root: Path) -> set[tuple[str, str]]:
    """The arrows (from, to) between the rooms of a package."""
    package = root.name
    files = {
        ".".join((package, *path.relative_to(root).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in root.rglob("*.py")
        if path.name != "__main__.py"
    }
    found = set()
    for module, path in files.items():
        room = room_of(module, package)
        for other in imports_of(path, set(files)):
            found.add((room, room_of(other, package)))
    return {(a, b) for a, b in found if a != b and package not in (a, b)}


def floors_of(rooms: set[str], arrows: set[tuple[str, str]]) -> list[list[str]]:
    """The rooms by floor, the ground first. Rooms in a circle are left out."""
    floors: list[list[str]] = []
    left = set(rooms)
    while left:
        floor = {r for r in left if not any(a == r and b in left for a, b in arrows)}
        if not floor:
            break
        floors.append(sorted(floor))
        left -= floor
    return floors


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="Folder of the package.")
    parser.add_argument("--arrows", action="store_true", help="List the arrows, too.")
    options = parser.parse_args()
    root = options.package.resolve()
    arrows = arrows_of(root)
    rooms = {
        path.stem if path.is_file() else path.name
        for path in root.iterdir()
        if (path.suffix == ".py" and not path.stem.startswith("__"))
        or (path / "__init__.py").exists()
    }
    floors = floors_of(rooms, arrows)
    circle = rooms - {room for floor in floors for room in floor}
    for number, floor in reversed(list(enumerate(floors))):
        print(f"{number}: {' '.join(floor)}")
    print(f"{len(rooms)} rooms, {len(floors)} floors, {len(arrows)} arrows")
    if circle:
        print(f"in a circle: {' '.join(sorted(circle))}")
    if options.arrows:
        for a, b in sorted(arrows):
            print(f"{a} -> {b}")


if __name__ == "__main__":
    main()
