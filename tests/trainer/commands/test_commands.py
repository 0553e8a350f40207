"""`trainer run` as a person meets it: help, usage, and one line for a mistake."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.support.tiny import examples, write_dataset
from tests.support.trainer_command import TRAINER, Ask, noisy, python
from trainer.methods import METHODS
from trainer.settings import option_name, settings_of

HEAVY = ("keras", "tensorflow", "jax", "h5py", "PIL")
HELP_SECONDS = 0.5
HELPS = {name: ["run", name, "--help"] for name in METHODS} | {"run": ["run", "--help"]}


# Help


@pytest.mark.parametrize("arguments", HELPS.values(), ids=HELPS)
def test_help_answers_at_once(arguments: list[str]) -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        done = python(TRAINER, *arguments)
        after = os.times()
        # of the processor, so that a busy machine is no failure
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert (done.returncode, done.stderr) == (0, "")
        if min(seconds) < HELP_SECONDS:
            return
    pytest.fail(f"the best of three took {min(seconds):.2f} s")


@pytest.mark.parametrize("arguments", HELPS.values(), ids=HELPS)
def test_help_imports_no_framework(arguments: list[str]) -> None:
    done = python(
        "import sys; from cli import trainer; trainer(sys.argv[1:], standalone_mode=False); "
        f"print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr, end='')",
        *arguments,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_run_help_names_every_method(answer: Ask) -> None:
    said = answer("run", "--help")
    assert said.code == 0
    for name in METHODS:
        assert re.search(rf"^  {name} ", said.out, re.MULTILINE)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_s_help_has_its_own_options_and_their_defaults(name: str, answer: Ask) -> None:
    said = answer("run", name, "--help")
    text = " ".join(said.out.split())
    settings = settings_of(METHODS[name])
    for option, setting in settings.items():
        assert f"{option_name(option)} " in text
        assert f"[default: {setting.default_text()}]" in text
    others = {other for method in METHODS.values() for other in settings_of(method)} - settings.keys()
    assert not [other for other in others if f"{option_name(other)} " in text]
    assert "--noise-rate R" in text


# Mistakes


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def folders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_dir())


def mistake(answer: Ask, *arguments: str) -> str:
    """The one line that a mistake is answered with; nothing is written, and at most said that a framework is loaded."""
    before = files(Path.cwd()), folders(Path.cwd())
    said = answer("run", *arguments)
    assert said.code == 1
    assert said.out in ("", "note: loading TensorFlow…\n")
    assert said.err.startswith("trainer: error: ")
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n")
    assert (files(Path.cwd()), folders(Path.cwd())) == before
    return said.err


def misuse(answer: Ask, *arguments: str) -> str:
    """What wrong usage is answered with."""
    said = answer("run", *arguments)
    assert said.code == 2
    assert said.out == ""
    assert "Traceback" not in said.err
    assert list(Path.cwd().iterdir()) == []
    return said.err.splitlines()[-1]


def test_without_any_dataset_the_line_says_where_it_looked_and_what_to_do(answer: Ask) -> None:
    line = mistake(answer, "selfie")
    assert "data: no noisy dataset (nothing there)" in line
    assert "datatools corrupt" in line
    assert "--data" in line


def test_with_clean_datasets_alone_the_line_names_them(answer: Ask, here: Path) -> None:
    write_dataset(here / "data" / "digits", examples(6), examples(3))
    assert "data/digits (clean)" in mistake(answer, "selfie")


def test_with_two_noisy_datasets_the_line_names_both(answer: Ask, here: Path) -> None:
    for name in ("pair", "symmetric"):
        noisy(here / "data", name)
    line = mistake(answer, "selfie")
    assert "data/pair" in line
    assert "data/symmetric" in line
    assert "--data" in line


def test_another_root_is_looked_into(answer: Ask, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pair", "symmetric"):
        noisy(here / "elsewhere", name)
    assert "elsewhere/pair" in mistake(answer, "selfie", "--root", "elsewhere")
    monkeypatch.setenv("DATATOOLS_ROOT", "elsewhere")
    assert "elsewhere/pair" in mistake(answer, "selfie")


@pytest.mark.parametrize("there", [True, False], ids=["empty directory", "no directory"])
def test_data_that_is_no_dataset_is_one_line(answer: Ask, here: Path, there: bool) -> None:
    if there:
        (here / "mine").mkdir()
    assert "mine: " in mistake(answer, "default", "--data", "mine")


def test_a_dataset_whose_noise_rate_nobody_knows_is_one_line(answer: Ask, here: Path) -> None:
    write_dataset(here / "animals", examples(6), examples(3), labels="unknown")
    line = mistake(answer, "selfie", "--data", "animals")
    assert "animals" in line
    assert "--noise-rate" in line


def test_a_manifest_that_does_not_match_is_one_line(answer: Ask, here: Path) -> None:
    dataset = noisy(here)
    other = write_dataset(here / "other", examples(30), examples(3), labels="noisy", clean_labels=examples(30)[1])
    dataset.manifest_path.write_bytes(other.manifest_path.read_bytes())
    assert "noisy/manifest.h5: belongs to other labels" in mistake(answer, "default", "--data", "noisy")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--noise-rate", "1"),
        ("--noise-rate", "1.5"),
        ("--noise-rate", "-0.1"),
        ("--noise-rate", "nan"),
        ("--noise-rate", "40"),
        ("--learning-rate", "0"),
        ("--learning-rate", "-1"),
        ("--learning-rate", "nan"),
        ("--learning-rate", "inf"),
        ("--warm-up", "99"),
        ("--history-length", "26"),
        ("--epochs", "0"),
        ("--batch-size", "1"),
        ("--seed", "-1"),
        ("--warm-up", "-1"),
        ("--history-length", "0"),
        ("--uncertainty-threshold", "1.5"),
        ("--restarts", "-1"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_line_that_names_it(
    answer: Ask, here: Path, option: str, value: str
) -> None:
    noisy(here)
    line = mistake(answer, "selfie", "--data", "noisy", "--preset", "quick", option, value)
    assert option in line
    assert f"{float(value):g}" in line.replace(".0:", ":")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["selfy"], "selfy"),
        (["default", "--quiet", "--log-format", "json"], "--log-format"),
        (["default", "--resume", "--overwrite"], "--overwrite"),
        (["default", "--warm-up", "3"], "--warm-up"),
        (["default", "--uncertainty-threshold", "0.1"], "--uncertainty-threshold"),
        (["selfie", "--network", "resnet"], "resnet"),
        (["selfie", "--preset", "fast"], "fast"),
        (["selfie", "--engine", "torch"], "torch"),
        (["selfie", "--epochs", "many"], "many"),
        (["selfie", "--noise-rate", "a third"], "a third"),
        (["selfie", "--refurbish", "always"], "always"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told_by_name_and_exits_2(answer: Ask, arguments: list[str], said: str) -> None:
    assert said in misuse(answer, *arguments)


def test_an_uncertainty_threshold_that_is_no_number_is_refused(answer: Ask, here: Path) -> None:
    noisy(here)
    before = files(here)
    arguments = ["--preset", "quick", "--epochs", "1", "--restarts", "0", "--uncertainty-threshold", "nan"]
    said = answer("run", "selfie", "--data", "noisy", *arguments)
    assert said.code == 1
    assert "uncertainty-threshold" in said.err
    assert files(here) == before


def test_without_a_method_there_is_the_help(answer: Ask) -> None:
    said = answer("run")
    assert said.code == 2
    assert all(name in said.out + said.err for name in METHODS)


def test_a_run_directory_that_is_something_else_is_one_line(answer: Ask, here: Path) -> None:
    noisy(here)
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.tex").write_text("years of work")
    for overwrite in ([], ["--overwrite"]):
        assert "thesis" in mistake(answer, "default", "--data", "noisy", "--run-dir", "thesis", *overwrite)


@pytest.mark.parametrize("directory", ["file", "file/run"])
def test_a_run_directory_where_a_file_is_is_one_line(answer: Ask, here: Path, directory: str) -> None:
    noisy(here)
    (here / "file").write_text("a file")
    assert "file" in mistake(answer, "default", "--data", "noisy", "--run-dir", directory)


def test_quiet_prints_the_result_alone(answer: Ask, here: Path, tf: object) -> None:
    noisy(here)
    arguments = ["--preset", "quick", "--epochs", "1", "--run-dir", "there"]
    said = answer("run", "default", "--data", "noisy", "--quiet", *arguments)
    assert (said.code, said.err) == (0, "")
    assert re.fullmatch(r"there: test error best .*\n", said.out)
    assert "--overwrite" in mistake(answer, "default", "--data", "noisy", *arguments)
    assert answer("run", "default", "--data", "noisy", "--quiet", "--overwrite", *arguments).out == said.out


# A noise rate that was estimated


def test_an_estimated_noise_rate_is_read_and_told_who_found_it(answer: Ask, here: Path) -> None:
    dataset = write_dataset(here / "animals", examples(30), examples(9), labels="unknown")
    estimate = {"format_version": 1, "dataset": {"sha256": dataset.sha256}, "noise_rate": {"value": 0.2}}
    (here / "animals.noise-estimate.json").write_text(json.dumps(estimate))
    settings = ["--data", "animals", "--preset", "quick", "--epochs", "1", "--batch-size", "10", "--run-dir", "run"]
    assert answer("run", "default", *settings, "--noise-rate", "estimated").code == 0
    config = json.loads((here / "run" / "config.json").read_text())
    assert (config["noise_rate"], config["noise_rate_from"]) == (0.2, "estimate, animals.noise-estimate.json")


def test_an_estimate_that_is_not_there_is_one_line_that_names_the_command(answer: Ask, here: Path) -> None:
    write_dataset(here / "animals", examples(6), examples(3), labels="unknown")
    assert "trainer estimate-noise" in mistake(answer, "selfie", "--data", "animals", "--noise-rate", "estimated")
    assert "trainer estimate-noise" in mistake(answer, "selfie", "--data", "animals")


# Waiting for the disk


def test_no_fsync_waits_for_no_disk(answer: Ask, here: Path, tf: object, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy(here)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.delenv("DATATOOLS_FSYNC", raising=False)
    train = ["run", "default", "--data", "noisy", "--preset", "quick", "--epochs", "1", "--run-dir", "run", "--quiet"]
    for command in (train, ["report", "run", "--out", "report"], ["relabel", "run", "--out", "relabelled"]):
        assert answer(*command).code == 0
        assert synced
        synced.clear()
        again = [] if command[0] == "report" else ["--overwrite"]
        assert answer(*command, *again, "--no-fsync").code == 0
        assert synced == []
        assert "DATATOOLS_FSYNC" not in os.environ
