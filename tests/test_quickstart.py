"""The lines of `make quickstart`, which no test has the time to run."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands() -> list[list[str]]:
    """What the target runs, loops of the shell included."""
    made = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--always-make", "quickstart"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    text = made.stdout.replace("\\\n", " ")
    lines = (line.strip().removeprefix("do ").strip() for line in re.split(r"[\n;]", text))
    return [shlex.split(line) for line in lines if re.match(r"\S*/(datatools|trainer) ", line)]


def options(command: list[str]) -> dict[str, Path]:
    return {name: Path(value) for name, value in itertools.pairwise(command) if name.startswith("--")}


def test_the_report_has_a_folder_of_its_own() -> None:
    """A folder that holds anything else is never replaced, so the second quickstart would fail, or the first."""
    written = {command[1]: options(command) for command in commands()}
    out = written["report"]["--out"]
    assert out.name == "report"
    others = [written["convert"]["--root"], written["corrupt"]["--data"], written["run"]["--run-dir"]]
    assert not [path for path in others if path.is_relative_to(out) or out.is_relative_to(path)]


def test_the_readme_names_the_page() -> None:
    (report,) = (command for command in commands() if command[1] == "report")
    assert f"`{options(report)['--out']}/report.html`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_second_quickstart_replaces_what_the_first_one_made() -> None:
    makes = [command for command in commands() if command[1] in ("convert", "corrupt", "run")]
    assert {command[1] for command in makes} == {"convert", "corrupt", "run"}
    assert all("--overwrite" in command for command in makes)
