"""The house's import rules: which way imports run, and what stays out of a fast command."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"keras", "tensorflow", "jax", "torch"}
INPUT_PIPELINES = {"format/loaders.py": {"tensorflow"}, "format/torch_records.py": {"torch"}}
"""Where datatools hands a dataset to a framework, which is loaded when that is asked for."""
HEAVY = sorted(FRAMEWORKS | {"h5py", "PIL", "sklearn", "matplotlib", "rich"})

# The layers of each package from the door down: a module imports from its own layer or from one below
DATATOOLS_LAYERS = [
    {"commands"},
    {"conversion", "corruption", "verification", "info", "plots", "contact_sheet", "comparison", "export"},
    {"split_writer"},
    {"sources", "noise"},
    {"decoding"},
    {"format"},
    {"files"},
    {"progress", "seeding", "processors", "names"},
    {"printable"},
    {"errors"},
]
TRAINER_LAYERS = [
    {"commands"},
    {"sweep", "audit", "api"},
    {"review"},
    {"training", "report"},
    {"features"},
    {"runs", "reporters"},
    {"metrics"},
    {"engine"},
    {"data", "config", "record_file", "vectors"},
    {"methods", "networks", "augmentation", "presets", "recipe", "balanced"},
    {"settings"},
    {"ops", "errors"},
]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    """The modules a file imports; what is under `if TYPE_CHECKING` is for the type checker and not counted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else _nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _nodes(node)


def layer(layers: list[set[str]], module: str) -> int:
    part = module.split(".")[1]
    found = [number for number, names in enumerate(layers) if part in names]
    assert found, f"{module} is in no layer: add it to the list"
    return found[0]


@pytest.mark.parametrize("path", modules("datatools"), ids=lambda path: str(path.relative_to(ROOT)))
def test_datatools_knows_no_neural_network(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)}
    allowed = INPUT_PIPELINES.get(path.relative_to(ROOT / "datatools").as_posix(), set())
    assert not tops & ((FRAMEWORKS | {"trainer", "cli"}) - allowed)


@pytest.mark.parametrize("path", [*modules("datatools"), *modules("trainer")], ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_imports_the_door(path: Path) -> None:
    assert "cli" not in set(imports(path))


@pytest.mark.parametrize(("package", "layers"), [("datatools", DATATOOLS_LAYERS), ("trainer", TRAINER_LAYERS)])
def test_imports_run_one_way(package: str, layers: list[set[str]]) -> None:
    for path in modules(package):
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if own == f"{package}.__init__":
            continue  # the API: names from everywhere, loaded when used
        for name in imports(path):
            home = ROOT / Path(*name.split(".")[:2])
            if name.startswith(f"{package}.") and (home.is_dir() or home.with_suffix(".py").exists()):
                assert layer(layers, own) <= layer(layers, name), f"{own} imports {name}"


@pytest.mark.parametrize("package", ["datatools", "trainer"])
def test_no_imports_run_in_a_circle(package: str) -> None:
    TopologicalSorter(import_graph(package)).prepare()  # raises CycleError, which names the modules of a circle


def import_graph(package: str) -> dict[str, set[str]]:
    """Which modules of a package each of them imports, also inside functions.

    `from package import module` is an import of the module. The packages around a module, which Python imports before
    it, are not counted.
    """
    files = {dotted_name(path): path for path in modules(package)}
    graph = {}
    for name, path in files.items():
        targets: set[str] = set()
        for node in _nodes(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= members if members <= files.keys() else {node.module or "", *members}
        graph[name] = targets & files.keys()
    return graph


def dotted_name(path: Path) -> str:
    """The name by which a source file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(
    ("package", "other"),
    [
        ("datatools.sources", "datatools.noise"),
        ("datatools.noise", "datatools.sources"),
        ("trainer.methods", "trainer.networks"),
        ("trainer.networks", "trainer.methods"),
        ("trainer.augmentation", "trainer.methods"),
        ("trainer.augmentation", "trainer.networks"),
        ("trainer.methods", "trainer.augmentation"),
        ("trainer.networks", "trainer.augmentation"),
    ],
)
def test_packages_of_one_layer_know_nothing_of_each_other(package: str, other: str) -> None:
    for path in modules(package.replace(".", "/")):
        assert not [name for name in imports(path) if name.startswith(other)], path


@pytest.mark.parametrize("package", ["datatools", "trainer"])
def test_the_packages_do_not_use_their_own_front_door(package: str) -> None:
    # its names are loaded when they are used, from modules that following imports does not see
    files = {dotted_name(path) for path in [*modules("datatools"), *modules("trainer")]}
    for path in modules(package):
        for node in _nodes(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("datatools", "trainer"):
                assert {f"{node.module}.{alias.name}" for alias in node.names} <= files, path


def test_only_the_torch_loader_imports_the_module_that_needs_torch() -> None:
    users = [path for path in modules("datatools") if "datatools.format.torch_records" in set(imports(path))]
    assert users == [ROOT / "datatools" / "format" / "loaders.py"]
    assert "datatools.format.torch_records" not in set(imports(users[0], top_level_only=True))
    assert "tensorflow" not in set(imports(users[0], top_level_only=True))


@pytest.mark.parametrize("package", ["trainer/methods", "trainer/augmentation"])
def test_methods_and_augmentations_are_free_of_frameworks(package: str) -> None:
    for path in modules(package):
        assert not {name.split(".")[0] for name in imports(path)} & FRAMEWORKS, path


@pytest.mark.parametrize(
    "arguments",
    [["datatools", "--help"], ["datatools", "convert", "--help"], ["trainer", "run", "selfie", "--help"]],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, cli\n"
        "try:\n"
        f"    getattr(cli, {arguments[0]!r}).main({arguments[1:]!r})\n"
        "except SystemExit as stop:\n"
        "    assert stop.code in (0, None)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("Usage:")
    assert done.stderr.strip() == "[]"
