"""The example notebooks run from the first cell to the last, and say what their texts say."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def run_cells(notebook: Path) -> tuple[dict[str, Any], str]:
    """Run a notebook's code in one namespace; the namespace and what was printed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), str(notebook), "exec"), names)
    return names, printed.getvalue()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_first_steps_runs_and_selfie_does_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.delenv("DATATOOLS_ROOT", raising=False)
    (notebook,) = (path for path in NOTEBOOKS if path.stem == "first_steps")
    names, printed = run_cells(notebook)
    last = {method: run.result["last_test_error"] for method, run in names["runs"].items()}
    assert last["selfie"] < last["default"]
    assert "40.0% of the training labels are wrong" in printed
    assert names["refurbished"].mean() > 0.3
    assert names["right"][names["refurbished"]].mean() > 0.7
