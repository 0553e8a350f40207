"""The oldest dependencies that are promised, as `make matrix` installs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import matrix


def test_lower_bounds_are_taken_of_what_users_install() -> None:
    extras = {"jax": ["jax>=0.5"], "tensorboard": ["tensorboard>=2.17,<3"], "estimate": [], "dev": ["pytest>=8"]}
    project = {"dependencies": ["numpy>=1.26", "tensorflow[and-cuda]>=2.17"], "optional-dependencies": extras}
    assert matrix.lower_bounds(project) == ["numpy==1.26", "tensorflow==2.17", "jax==0.5", "tensorboard==2.17"]


def test_every_dependency_of_the_project_has_a_lower_bound() -> None:
    names = [line.partition("==")[0] for line in matrix.oldest_constraints().splitlines()]
    assert {"numpy", "keras", "tensorflow", "jax", "h5py"} <= set(names)
    assert len(names) == len(set(names))


def test_a_dependency_without_a_lower_bound_is_refused() -> None:
    with pytest.raises(AssertionError, match="rich: no lower bound"):
        matrix.lower_bounds(
            {"dependencies": ["rich"], "optional-dependencies": {key: [] for key in matrix.RUNTIME_EXTRAS}}
        )


def test_a_python_that_is_missing_is_skipped_and_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "FOLDER", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert matrix.main(["3.12"]) == 1  # nothing ran, which is no success
    assert "3.12     skipped: no such Python here" in capsys.readouterr().out
    assert not matrix.FOLDER.exists()


def test_a_shim_that_leads_nowhere_is_no_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert matrix.find_python("3.12") is None
    real = tmp_path / "versions" / "3.12.9" / "bin" / "python3.12"
    real.parent.mkdir(parents=True)
    real.write_text("#!/bin/sh\necho 3.12\n")
    real.chmod(0o755)
    assert matrix.find_python("3.12") == str(real)
