"""`trainer` in an empty working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import trainer
from tests.support.trainer_command import Answer, Ask


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with nothing set from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATATOOLS_ROOT", raising=False)
    return tmp_path


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Calls `trainer` in this process."""

    def call(*arguments: str) -> Answer:
        with pytest.raises(SystemExit) as exit:
            trainer.main([*arguments], prog_name="trainer")
        said = capsys.readouterr()
        return Answer(int(exit.value.code or 0), said.out, said.err)

    return call
