"""The version of the code that makes a run: a hash of every module of both packages that a run can import.

Which modules these are is read from the sources. From `trainer.training.loop` on, all imports are followed, those
inside functions too, and so are strings that name a module, as the registries of engines and networks have them. What
only starts, shows or reads runs is imported by none of them, and may change without changing what a run is.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder that holds both packages."""
FIRST_MODULE = "trainer.training.loop"
MODULE_STRING = re.compile(r"""["']((?:datatools|trainer)(?:\.\w+)+)(?::\w+)?["']""")
"""A string that is the name of a module, or of a function or class in one."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a statement holds others; the first is left out under `if TYPE_CHECKING`."""


@cache
def code_sha256() -> str:
    """SHA-256 of the code that makes a run, as it stands when a process first asks."""
    return source_sha256(ROOT)


def source_sha256(root: Path) -> str:
    """SHA-256 of names and contents of `run_modules(root)`, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(run_modules(root).values()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def run_modules(root: Path) -> dict[str, Path]:
    """The modules that a run can import from the packages in the folder `root`: their files, by dotted name."""
    modules: dict[str, Path] = {}
    waiting = [FIRST_MODULE]
    while waiting:
        name = waiting.pop()
        path = _module_file(root, name)
        if path is not None and name not in modules:
            modules[name] = path
            waiting.extend(imported_names(path))
            waiting.append(name.rpartition(".")[0])  # Python imports the packages around a module before it
    return modules


def imported_names(path: Path) -> Iterator[str]:
    """The names that a source file imports, of modules or of what is in them, and the modules that its strings name.

    What is imported for the type checker alone is left out.
    """
    source = path.read_text(encoding="utf-8")
    yield from (match[1] for match in MODULE_STRING.finditer(source))
    for statement in _statements(ast.parse(source)):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from (statement.module or "", *(f"{statement.module}.{alias.name}" for alias in statement.names))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements inside a node, of every depth, and parts of them that hold statements.

    Expressions, most of a tree, are not looked into: they import nothing.
    """
    only_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    for part in BLOCKS[1:] if only_types else BLOCKS:
        for inner in getattr(node, part, ()):
            yield inner
            yield from _statements(inner)


def _module_file(root: Path, name: str) -> Path | None:
    """The source file of a module of one of the two packages; None if `name` is not one."""
    if name.partition(".")[0] not in ("datatools", "trainer"):
        return None
    path = root.joinpath(*name.split("."))
    candidates = path / "__init__.py", path.with_suffix(".py")
    return next((file for file in candidates if file.is_file()), None)
