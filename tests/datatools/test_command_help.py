"""Every command has help, and it comes at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from tests.support.children import environment, run_python
from tests.support.datatools_command import RUN, Command, in_child

NOT_FOR_HELP = ("keras", "tensorflow", "jax", "h5py", "PIL", "trainer", "sklearn", "rich")


def test_help_comes_in_half_a_second(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        outcome = in_child("--help", cwd=tmp_path)
        after = os.times()
        # of the processor, so that a busy machine is no failure
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert outcome.code == 0
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"], ["corrupt", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code = f"""
import sys
try:
    {RUN}
finally:
    print(*sorted(name for name in {NOT_FOR_HELP!r} if name in sys.modules), file=sys.stderr)
"""
    child = run_python(code, *arguments, cwd=tmp_path)
    assert child.stderr.strip() == ""


@pytest.mark.parametrize("command", [[], ["convert"], ["corrupt"], ["info"], ["verify"]])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(datatools: Command, command: list[str], option: str) -> None:
    outcome = datatools(*command, option)
    assert outcome.code == 0
    assert outcome.out.startswith(" ".join(["Usage: datatools", *command]))


def test_the_help_of_the_group_names_every_command(datatools: Command) -> None:
    out = datatools("--help").out
    for name in cli.DATATOOLS_COMMANDS:
        assert re.search(rf"^  {name}\b", out, re.MULTILINE)


def test_the_installed_script_is_this_door(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("datatools")
    if not script.is_file():
        pytest.skip("the package is not installed: `make install`")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: datatools")
