"""Whole runs of the JAX engine from the command line: its cache, and runs that are stopped and resumed."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.engine_outcomes import finish, start
from tests.support.tiny import examples, write_dataset
from tests.support.toy_engine import METHODS as PLAIN

TIMING = ("seconds", "images_per_second")
ARGUMENTS = ["--network", "small-cnn", "--preset", "quick", "--epochs", "3", "--batch-size", "10"]
ARGUMENTS += ["--learning-rate", "0.05", "--noise-rate", "0.3"]
OWN = {"selfie": ["--warm-up", "1", "--history-length", "1", "--restarts", "1"], "dividemix": ["--warm-up", "1"]}
METHODS = (*PLAIN, "elr-plus", "dividemix")
RUN_ALL = """
import sys, json
from cli import trainer
for arguments in json.loads(sys.argv[1]):
    trainer.main(arguments, prog_name="trainer", standalone_mode=False)
"""


STOP_ALL = """
import os, signal, sys, json
import trainer.commands.run as command
from cli import trainer
from trainer.training import epochs
from trainer.reporters.base import Quiet

class Killer(Quiet):
    steps_seen = 0
    def steps(self, done, total):
        self.steps_seen += 1
        if self.steps_seen == self.last:
            os.kill(os.getpid(), signal.SIGTERM)

epochs.CPU_SLICE_SECONDS = 0.0  # a step at a time, so that the signal comes in the middle of an epoch
for last, arguments in json.loads(sys.argv[1]):
    killer = Killer()
    killer.last = last
    command._reporter = lambda directory, given: killer
    try:
        trainer.main(arguments, prog_name="trainer", standalone_mode=False)
    except SystemExit as exit:
        print(exit.code)
"""


COUNTED = """
import sys, json
import jax
counts = {"hits": 0, "misses": 0}
def count(event, **more):
    for kind in counts:
        counts[kind] += event == f"/jax/compilation_cache/cache_{kind}"
jax.monitoring.register_event_listener(count)
from cli import trainer
trainer.main(json.loads(sys.argv[1]), prog_name="trainer", standalone_mode=False)
print(json.dumps(counts))
"""


def test_the_second_start_of_a_run_compiles_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path / "noisy", examples(31), examples(9), labels="noisy", clean_labels=examples(31)[1])
    cache = tmp_path / "compiled"

    def counts(directory: str, *more: str) -> dict[str, int]:
        arguments = ["run", "selfie", "--data", str(tmp_path / "noisy"), "--engine", "jax", *ARGUMENTS, *OWN["selfie"]]
        arguments += ["--run-dir", str(tmp_path / directory), *more]
        code, out, err = finish(start([sys.executable, "-c", COUNTED, json.dumps(arguments)]))
        assert (code, err) == (0, "")
        assert "compiled  the training step, once, in" in out
        return dict(json.loads(out.splitlines()[-1]))

    first = counts("first", "--compilation-cache", str(cache))
    assert first["misses"] > 0
    assert sum("jit__train_one" in path.name for path in cache.rglob("*-cache")) == 1, "one training program"
    second = counts("second", "--compilation-cache", str(cache))
    assert second["misses"] == 0
    assert second["hits"] >= first["misses"]
    for name in ("samples.h5", "weights.h5"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    files = sorted(cache.rglob("*"))
    assert counts("third", "--compilation-cache", "off") == {"hits": 0, "misses": 0}
    assert sorted(cache.rglob("*")) == files


def test_a_named_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    write_dataset(tmp_path / "noisy", examples(31), examples(9), labels="noisy", clean_labels=examples(31)[1])
    (tmp_path / "file").write_text("")
    arguments = ["run", "default", "--data", str(tmp_path / "noisy"), "--engine", "jax", *ARGUMENTS, "--run-dir"]
    arguments += [str(tmp_path / "run"), "--compilation-cache", str(tmp_path / "file")]
    code, _, err = finish(start([sys.executable, "-c", "from cli import trainer; trainer()", *arguments]))
    assert code == 1
    assert err.startswith(f"trainer: error: {tmp_path}/file/")
    assert "compiled steps cannot be kept there" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run" / "config.json").exists()


class Runs:
    """Some methods: run through, and run, killed by SIGTERM and resumed, in three processes."""

    def __init__(self, directory: Path) -> None:
        ids, clean, pixels = examples(30)
        labels = np.where(ids % 4 == 0, (clean + 1) % 3, clean)
        data = directory / "noisy"
        write_dataset(data, (ids, labels, pixels), examples(9), labels="noisy", clean_labels=clean)

        def arguments(method: str, kind: str, *more: str) -> list[str]:
            where = ["--data", str(data), "--run-dir", str(directory / kind / method)]
            return ["run", method, *where, *ARGUMENTS, *OWN.get(method, []), *more]

        self.directory = directory
        whole = [arguments(method, "whole") for method in METHODS]
        # 3 steps an epoch: in the second epoch; SELFIE in its second run. ELR+ has 6, DivideMix 4 in its warm-up
        last = {"selfie": 10, "elr-plus": 10, "dividemix": 5}
        stopped = [(last.get(m, 4), arguments(m, "parts", "--engine", "jax")) for m in METHODS]
        resumed = [arguments(method, "parts", "--engine", "jax", "--resume", "--quiet") for method in METHODS]
        processes = [
            start([sys.executable, "-c", RUN_ALL, json.dumps(whole)], KERAS_BACKEND="jax"),
            start([sys.executable, "-c", STOP_ALL, json.dumps(stopped)]),
        ]
        self.whole, self.stopped = (finish(process) for process in processes)
        self.place = {
            method: sorted(path.name for path in (directory / "parts" / method).iterdir()) for method in METHODS
        }
        self.resumed = finish(start([sys.executable, "-c", RUN_ALL, json.dumps(resumed)]))

    def path(self, kind: str, method: str, name: str) -> Path:
        return self.directory / kind / method / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def test_a_whole_run_through_the_command_line_says_nothing_on_stderr(runs: Runs) -> None:
    code, out, err = runs.whole
    assert (code, err) == (0, "")
    assert "CPU" in out
    config = json.loads(runs.path("whole", "selfie", "config.json").read_text())
    assert config["engine"] == "jax"
    assert config["versions"]["jax"]
    result = json.loads(runs.path("whole", "selfie", "result.json").read_text())
    assert [len(result["runs"]), 0 <= result["best_test_error"] <= 1] == [2, True]


def test_a_term_signal_ends_each_run_in_the_middle_of_an_epoch(runs: Runs) -> None:
    code, out, err = runs.stopped
    assert (code, out.split()) == (0, ["1"] * len(METHODS))
    stopped = [line for line in err.splitlines() if "stopped by" in line]  # and notes that the signal was heard
    places = [re.sub(r" of \d+;.*", "", line.partition("stopped by SIGTERM in ")[2]) for line in stopped]
    expected = {"selfie": "run 2, epoch 1, after step 1", "elr-plus": "run 1, epoch 2, after step 4"}
    assert places == [expected.get(method, "run 1, epoch 2, after step 1") for method in METHODS]
    assert all("checkpoint.h5" in names and "result.json" not in names for names in runs.place.values())


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(method: str, runs: Runs) -> None:
    code, _, err = runs.resumed
    assert (code, err) == (0, "")
    for name in ("samples.h5", "weights.h5"):
        assert runs.path("parts", method, name).read_bytes() == runs.path("whole", method, name).read_bytes(), name
    tables = []
    for kind in ("parts", "whole"):
        with runs.path(kind, method, "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        tables.append([{key: cell for key, cell in row.items() if key not in TIMING} for row in rows])
    assert tables[0] == tables[1]
    assert len(tables[0]) == (6 if method == "selfie" else 3)
