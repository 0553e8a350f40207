"""The command datatools, as the tests of the commands are handed it."""

from __future__ import annotations

from pathlib import Path

import pytest

import cli
from tests.support.datatools_command import Command, Outcome
from tests.support.factories import close_network


@pytest.fixture
def datatools(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command in an empty folder of its own, the way the shell would."""
    monkeypatch.delenv("DATATOOLS_ROOT", raising=False)
    close_network(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.datatools.main([str(argument) for argument in arguments], prog_name="datatools")
        out, err = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), out, err)

    return run
