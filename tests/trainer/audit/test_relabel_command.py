"""`trainer relabel` as a command, and on a real run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli import datatools, trainer
from datatools import convert, corrupt
from datatools.verification import verify
from tests.support.relabel_runs import COUNT, rows
from trainer.audit.output import read_report, relabel
from trainer.config import resolve
from trainer.reporters.base import Quiet
from trainer.training.loop import train


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, group: Any = trainer) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        group.main([*arguments])
    said = capsys.readouterr()
    return int(exit.value.code or 0), said.out, said.err


def test_the_command_says_what_it_found(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    code, said, err = answer(capsys, "relabel", str(run), "--out", str(out), "--noise-rate", "0.2", "--all")
    assert (code, err) == (0, "")
    assert said.splitlines() == [
        "8 of 40 labels suspected: the most suspicious 20.0% of the samples (--noise-rate)",
        f"against the clean labels: precision 100.0%, recall 80.0%, average precision "
        f"{read_report(out)['truth']['average_precision']:.3f}, suggestions right for 100.0% of the wrong labels found",
        "wrong labels 25.00% before, 5.00% after",
        f"{out}: dataset, page.html, relabel.json, suspects.csv, suspects.png",
    ]
    assert len(rows(out / "suspects.csv")) == COUNT
    code, said, err = answer(capsys, "relabel", str(run), "--out", str(out))
    assert (code, said) == (1, "")
    assert err == f"trainer: error: {out}: exists already; pass --overwrite to replace it, or choose another --out\n"
    assert answer(capsys, "verify", str(out / "dataset"), group=datatools)[0] == 0
    assert answer(capsys, "info", str(out / "dataset"), group=datatools)[0] == 0


@pytest.fixture(scope="module")
def digits_run(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SELFIE on digits with pair noise 0.4: half the quick preset's epochs and no restart, to be fast."""
    folder = tmp_path_factory.mktemp("digits")
    dataset = corrupt(convert("digits", out=folder / "digits").dataset, noise="pair", rate=0.4).dataset
    config = resolve("selfie", dataset, preset="quick", epochs=20, method_options={"restarts": 0})
    train(config, dataset, folder / "run", Quiet())
    return folder / "run"


def test_selfie_finds_the_wrong_digits(tmp_path: Path, digits_run: Path) -> None:
    made = relabel(digits_run, tmp_path / "out")
    truth = made.report["truth"]
    assert truth["precision"] >= 0.85
    assert truth["recall"] >= 0.85
    assert truth["average_precision"] >= 0.95
    assert truth["suggestion_accuracy"] >= 0.95
    assert truth["wrong_rate_after"] < 0.1 < truth["wrong_rate_before"]
    assert all(check.passed for check in verify(made.dataset))
