"""The fast tests on every Python there is of those promised, and with the oldest dependencies promised.

    python tests/matrix.py                  all of it: `make matrix`
    python tests/matrix.py 3.12 oldest      some of it
    python tests/matrix.py --oldest         only print the constraints made from pyproject.toml's lower bounds

Each environment is made under .matrix/ and kept, so that a second time takes only the tests. A Python that is not
there is skipped, and said so. Ends with 1 if tests failed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".matrix"
PYTHONS = ("3.11", "3.12", "3.13")
OLDEST = "oldest"
OLDEST_PYTHON = PYTHONS[0]
RUNTIME_EXTRAS = ("jax", "tensorboard", "estimate")
"""Extras whose lower bounds are promised to users as well; tools of development are as new as they come."""


def lower_bounds(project: dict[str, Any]) -> list[str]:
    """`name==version` for each `name>=version` of what users install, from the [project] table."""
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *(one for extra in RUNTIME_EXTRAS for one in extras[extra])]
    bounds = []
    for requirement in requirements:
        bound = re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)(?:,.*)?", requirement)
        assert bound, f"{requirement}: no lower bound"
        bounds.append(f"{bound[1]}=={bound[2]}")
    return bounds


def oldest_constraints() -> str:
    """The text of oldest.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return "".join(f"{line}\n" for line in lower_bounds(project))


def find_python(version: str) -> str | None:
    """A Python that starts and is of this version: on the PATH, or one of pyenv's, whose shims may lead nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))]
    for python in filter(None, candidates):
        asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(asked, capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return python
    return None


def run(name: str) -> bool | None:
    """Install into the environment `name` and run the fast tests there; None where its Python is missing."""
    version = OLDEST_PYTHON if name == OLDEST else name
    python = find_python(version)
    if python is None:
        return None
    FOLDER.mkdir(exist_ok=True)
    constraints = ROOT / "constraints.txt"
    if name == OLDEST:
        constraints = FOLDER / "oldest.txt"
        constraints.write_text(oldest_constraints(), encoding="utf-8")
    environment = FOLDER / name
    if not environment.is_dir():
        subprocess.run([python, "-m", "venv", str(environment)], check=True)
    own = str(environment / "bin" / "python")
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", str(constraints)]
    if subprocess.run([*pip, "--editable", ".[dev]"], cwd=ROOT).returncode:
        return False
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    tests = [own, "-m", "pytest", "--quiet", "--numprocesses", "2", "--dist", "loadfile", "-m", "not slow"]
    return subprocess.run(tests, cwd=ROOT, env=variables).returncode == 0


def main(names: list[str]) -> int:
    """Run the environments named, or all; a line for each at the end."""
    if names == ["--oldest"]:
        print(oldest_constraints(), end="")
        return 0
    unknown = set(names) - {*PYTHONS, OLDEST}
    if unknown:
        raise SystemExit(f"{', '.join(sorted(unknown))}: one of {', '.join(PYTHONS)}, {OLDEST} is expected")
    results = {}
    for name in names or [*PYTHONS, OLDEST]:
        print(f"--- {name}", flush=True)
        results[name] = run(name)
    words = {True: "passed", False: "FAILED", None: "skipped: no such Python here"}
    for name, passed in results.items():
        print(f"{name:8} {words[passed]}")
    return 0 if True in results.values() and False not in results.values() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
