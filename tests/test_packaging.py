"""What is published is what works: sdist and wheel are built, and the wheel is used from an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("datatools", "trainer")


def run(command: list[object], cwd: Path, **variables: str) -> str:
    """Standard output of `command`, without this process's search path for modules; a failure shows all it said."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DATATOOLS_ROOT")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, with what is changed in them: a build leaves nothing in the real checkout."""
    copy = tmp_path_factory.mktemp("packaging") / "checkout"
    names = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


@pytest.fixture(scope="session")
def built(checkout: Path) -> Path:
    """The folder with the sdist, and the wheel that was built from it."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"], checkout)
    return checkout / "dist"


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    return built / f"selfie_noisy_labels-{PROJECT['version']}-py3-none-any.whl"


@pytest.fixture(scope="session")
def scripts(wheel: Path) -> Path:
    """The folder of commands of an empty environment with the wheel in it, which sees the dependencies from here."""
    environment = wheel.parents[2] / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", environment], wheel.parent)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], wheel.parent)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    # Folders named in a .pth file come last, and .pth files in them do not count: an editable install stays unseen
    dependencies = [path for path in sys.path if path.endswith("-packages")]
    (site_packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n", encoding="utf-8")
    return environment / "bin"


@pytest.mark.slow
def test_the_wheel_holds_the_two_packages_and_all_of_them(checkout: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {str(path.relative_to(checkout)) for name in PACKAGES for path in (checkout / name).rglob("*.*")}
    assert expected - names == set(), "missing in the wheel: add its ending to [tool.setuptools.package-data]"
    assert names - expected == set()


@pytest.mark.slow
def test_the_sdist_holds_what_git_knows(checkout: Path, built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    expected = {str(path.relative_to(checkout)) for path in checkout.rglob("*") if path.is_file()}
    expected = {
        name for name in expected if not name.startswith(("dist/", ".ci/", ".git")) and ".egg-info/" not in name
    }
    assert expected - names == set(), "missing in the sdist: add it to MANIFEST.in"


@pytest.mark.slow
def test_the_installed_commands_work_away_from_the_checkout(scripts: Path, tmp_path: Path) -> None:
    where = "import datatools, trainer, importlib.util; print(datatools.__file__, trainer.__file__)"
    where += "; print(importlib.util.find_spec('cli'))"
    *files, cli = run([scripts / "python", "-c", where], tmp_path).split()
    assert all(Path(file).is_relative_to(scripts.parent) for file in files)
    assert cli == "None", "an installed wheel offers a module named cli"

    datatools, trainer = scripts / "datatools", scripts / "trainer"
    assert run([datatools, "--version"], tmp_path).split() == [PROJECT["name"], PROJECT["version"]]
    run([datatools, "convert", "--dataset", "digits"], tmp_path)
    run([datatools, "corrupt", "--rate", "0.4", "--type", "pair"], tmp_path)
    info = run([datatools, "info", "data/digits-pair-0.4-seed0"], tmp_path)
    assert "pair" in info
    assert "0.4" in info
    listed = run([trainer, "list"], tmp_path)
    assert "selfie" in listed
    assert "small-cnn" in listed


def test_the_commands_start_in_the_packages() -> None:
    assert PROJECT["scripts"] == {name: f"{name}.commands:main" for name in PACKAGES}


@pytest.mark.parametrize("group", PACKAGES)
def test_the_door_of_the_checkout_opens_both_groups(group: str, tmp_path: Path) -> None:
    shown = run([sys.executable, ROOT / "cli.py", group, "--help"], tmp_path)
    assert shown.startswith(f"Usage: python cli.py {group} ")


def test_the_door_of_the_checkout_names_its_groups(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, ROOT / "cli.py", "nonsense"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python cli.py {datatools,trainer}")
