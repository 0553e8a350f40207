"""The JAX engine, held to TensorFlow's results and to its own; each engine runs in a process of its own.

Picks, refurbished labels, histories and counts are compared as the integers they are, losses and weights within a
tolerance: frameworks round differently. A difference of 1e-7 now and then turns a ReLU on or off, and in a DenseNet
with batch norm over ten small images the next losses then differ by up to 1e-2, in one framework as between two
(measured by changing the initial weights by 1e-7 in TensorFlow alone). So the DenseNet learns slowly here, which
scales what such a turn does, and the distance it moved is compared too.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny import examples, write_dataset
from trainer.methods import METHODS

REPOSITORY = Path(__file__).parents[3]
CHILD = [sys.executable, "-m", "tests.support.engine_child"]
LEARNING_RATES = {"small-cnn": 0.01, "densenet-10-12": 0.0003}
NETWORKS = tuple(LEARNING_RATES)
EPOCHS, WARM_UP = 6, 2
STEPS = 6
"""An epoch's: 60 samples in mini-batches of 10. So 24 steps come after the warm-up."""
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "active-bias": {"warm_up": WARM_UP},
    "co-teaching": {"ramp_epochs": WARM_UP},
    "selfie": {"warm_up": WARM_UP, "history_length": WARM_UP},
}
SHORT = {"do": "train", "method": "selfie", "epochs": 3, "options": {"warm_up": 1, "history_length": 1}}
LARGE = {"count": 240, "size": 32, "depth": 3}
"""Its images take 1.1 MB, so that they do not fit into 1 MiB."""
WIDE = {"do": "train", "data": LARGE, "epochs": 1, "evaluate": True}
TIMING = ("seconds", "images_per_second")
CHILDREN = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "COLUMNS": "100",
    # what XLA compiles here runs for a second: with less care it compiles faster
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
}

Outcome = Callable[..., dict[str, np.ndarray]]


def compared(method: str, network: str) -> dict[str, Any]:
    runs = 2 if method == "selfie" and network == "small-cnn" else 1
    own = {"do": "train", "method": method, "network": network, "options": OPTIONS[method], "dropout": False}
    rate = LEARNING_RATES[network]
    return {**own, "epochs": EPOCHS, "runs": runs, "evaluate": True, "settings": {"learning_rate": rate}}


BOTH = {f"{method} {network}": compared(method, network) for method in METHODS for network in NETWORKS}
TWO_PASSES = "selfie, two passes densenet-10-12"
BOTH[TWO_PASSES] = compared("selfie", "densenet-10-12")
BOTH[TWO_PASSES]["options"] = {**OPTIONS["selfie"], "passes": 2, "history_start": "zeros"}
BOTH[TWO_PASSES]["settings"] = {
    **BOTH[TWO_PASSES]["settings"],
    "momentum_form": "accumulator",
    "drop_epochs": (WARM_UP + 1,),
}
JAX = {
    "step by step": {**SHORT, "in_steps": True},
    "scan": {**SHORT, "scan": True},
    "uneven": {"do": "train", "epochs": 2, "settings": {"batch_size": 8}, "evaluate": True, "tests": 31},
    "tf32": {**SHORT, "epochs": 1, "settings": {"precision": "tf32"}},
    "prepared": {**SHORT, "do": "prepared"},
    "prepared scan": {**SHORT, "do": "prepared", "scan": True},
    "resident": {**WIDE, "settings": {"batch_size": 20}},
    "streamed": {**WIDE, "settings": {"batch_size": 20, "device_memory": 1}},
    "streamed scan": {**SHORT, "scan": True, "tests": 17_000, "block": 1_300, "settings": {"device_memory": 1}},
    "bfloat16": {**SHORT, "settings": {"precision": "bfloat16"}},
    "carried": {**SHORT, "do": "carried"},
    "gradients": {"do": "gradients"},
    "no sync": {**SHORT, "do": "no_sync"},
    "no sync, scan": {**SHORT, "do": "no_sync", "scan": True},
    "refusals": {"do": "refusals"},
}


def environment(**more: str) -> dict[str, str]:
    """Of a child process, in which nothing that this process has set quietens or chooses a framework."""
    left_out = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "XLA_PYTHON_CLIENT_PREALLOCATE", "JAX_PLATFORMS")
    kept = {key: value for key, value in os.environ.items() if key not in left_out}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **CHILDREN, **more}


def start(command: list[str], **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """What both engines gave, by engine."""
    directory = tmp_path_factory.mktemp("engines")
    started = []
    for number, (engine, scenarios) in enumerate([("tensorflow", BOTH), ("jax", BOTH), ("jax", JAX)]):
        file, out = directory / f"{number}.json", directory / f"{number}.npz"
        file.write_text(json.dumps(scenarios))
        started.append((engine, out, start([*CHILD, engine, str(file), str(out)])))
    found: dict[str, dict[str, np.ndarray]] = {"tensorflow": {}, "jax": {}}
    for engine, out, process in started:
        code, _, err = finish(process)
        assert code == 0, err
        with np.load(out) as arrays:
            found[engine] |= dict(arrays)
    return found


@pytest.fixture(scope="module")
def outcome(outcomes: dict[str, dict[str, np.ndarray]]) -> Outcome:
    """Of a scenario: its arrays by name."""

    def get(scenario: str, engine: str = "jax") -> dict[str, np.ndarray]:
        found = outcomes[engine]
        own = {key.partition("/")[2]: value for key, value in found.items() if key.partition("/")[0] == scenario}
        assert "error" not in own, str(own["error"])
        assert own, scenario
        return own

    return get


def part(outcome: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    found = {key.removeprefix(prefix): value for key, value in outcome.items() if key.startswith(prefix)}
    assert found, prefix
    return found


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Bit for bit; not-a-number equals itself."""
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key].dtype == values.dtype, key
        np.testing.assert_array_equal(found[key], values, err_msg=key)


def trained(outcome: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sums, memory, evaluation and state, without what a scenario tells beside them."""
    return {key: value for key, value in outcome.items() if key[0].isdigit()}


# Against TensorFlow


@pytest.mark.parametrize("scenario", BOTH)
def test_both_engines_choose_remember_and_learn_the_same(scenario: str, outcome: Outcome) -> None:
    ours, theirs = (trained(outcome(scenario, engine)) for engine in ("jax", "tensorflow"))
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        if "seed_generator" in key:  # not drawn from; the frameworks count on differently
            continue
        if expected.dtype.kind in "iu":
            np.testing.assert_array_equal(ours[key], expected, err_msg=key)
        else:
            np.testing.assert_allclose(ours[key], expected, rtol=2e-3, atol=2e-4, err_msg=key)
    moved = [
        np.concatenate(
            [(own[f"0/state/{key}"] - value).ravel() for key, value in part(own, "0/began/").items() if is_weight(key)]
        )
        for own in (ours, theirs)
    ]
    assert np.linalg.norm(moved[0] - moved[1]) < 0.01 * np.linalg.norm(moved[1])


def is_weight(name: str) -> bool:
    return name.endswith(("-kernel", "-bias", "-gamma", "-beta"))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_comparison_compares_choices(network: str, outcome: Outcome) -> None:
    """Were nothing picked, refurbished or weighted, equality would be cheap."""
    own = {method: outcome(f"{method} {network}") for method in METHODS}
    samples, batch, last = 60, 10, EPOCHS - 1
    for method, networks in (("selfie", 1), ("co-teaching", 2)):
        for epoch in range(WARM_UP, EPOCHS):
            picked = own[method][f"0/{epoch}/memory/picked"]
            assert picked.shape == (samples, networks)
            assert (picked.sum(axis=0) == STEPS * np.ceil(0.75 * batch)).all()
    replaced = own["selfie"][f"0/{WARM_UP}/memory/replaced"]
    assert 0 < (replaced >= 0).sum() < samples
    assert len({value.tobytes() for key, value in own["selfie"].items() if key.endswith("memory/picked")}) > 2
    assert (own["active-bias"][f"0/{last}/memory/m2"] > 0).all()
    losses = [own[method][f"0/{last}/sums/loss"] for method in METHODS]
    assert not any(np.allclose(one, other) for i, one in enumerate(losses) for other in losses[:i])


def test_selfie_was_compared_across_a_restart(outcome: Outcome) -> None:
    own = outcome("selfie small-cnn")
    kept = own[f"0/{EPOCHS - 1}/memory/refurbished_label"]
    later = own["1/0/memory/refurbished_label"]
    assert (kept >= 0).any()
    np.testing.assert_array_equal(later[kept >= 0], kept[kept >= 0])
    assert own["1/tau"] == min(0.25, 1 - np.mean(kept >= 0))
    assert not np.array_equal(own["1/state/network_1/0000-kernel"], own["0/state/network_1/0000-kernel"])


@pytest.mark.parametrize("method", ["selfie", "co-teaching"])
def test_both_engines_name_and_shape_their_state_alike(method: str, outcome: Outcome) -> None:
    ours, theirs = (outcome(f"{method} densenet-10-12", engine) for engine in ("jax", "tensorflow"))
    shapes = [{key: value.shape for key, value in part(own, "0/state/").items()} for own in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert ours["weights"].tolist() == theirs["weights"].tolist()
    assert ours["parameters"] == theirs["parameters"]


# Against itself


def test_how_an_epoch_is_cut_into_calls_makes_no_difference(outcome: Outcome) -> None:
    own = outcome("step by step")
    assert_same(part(own, "in_steps/"), trained(own))


@pytest.mark.parametrize("scenario", ["scan", "streamed scan"])
def test_a_scan_which_a_gpu_runs_gives_the_results_of_single_steps(scenario: str, outcome: Outcome) -> None:
    expected, found = trained(outcome("step by step")), outcome(scenario)
    assert found["streams"] == (scenario == "streamed scan")
    assert found["programs"] == 1
    found = trained(found)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        if values.dtype.kind in "iu":
            np.testing.assert_array_equal(found[key], values, err_msg=key)
        else:
            np.testing.assert_allclose(found[key], values, rtol=2e-3, atol=2e-4, err_msg=key)


def test_a_dataset_that_streams_gives_the_bits_of_one_that_does_not(outcome: Outcome) -> None:
    streamed, resident = outcome("streamed"), outcome("resident")
    assert (bool(streamed["streams"]), bool(resident["streams"])) == (True, False)
    assert_same(trained(streamed), trained(resident))


@pytest.mark.parametrize("scenario", ["step by step", "uneven", "resident", "streamed"])
def test_a_run_has_one_training_program_and_one_for_evaluation(scenario: str, outcome: Outcome) -> None:
    own = outcome(scenario)
    assert own["programs"] == 1
    assert own["evaluation_programs"] == ("0/confusion" in own)


def test_images_that_fill_up_the_last_batch_are_not_evaluated(outcome: Outcome) -> None:
    assert outcome("uneven")["0/confusion"].sum() == 31


@pytest.mark.parametrize("scenario", ["prepared", "prepared scan"])
def test_a_prepared_step_is_compiled_once_and_gives_the_same_bits(scenario: str, outcome: Outcome) -> None:
    own = outcome(scenario)
    assert own["changed"].tolist() == []
    assert_same(part(own, "prepared/"), part(own, "unprepared/"))
    assert own["compiled"].tolist() == [str(own["program"])], "training compiled nothing more"


def test_products_are_rounded_where_tf32_is_asked_for_and_nowhere_else(outcome: Outcome) -> None:
    highest, rounded = "HIGHEST, precision HIGHEST", "HIGH, precision HIGH"
    for scenario, present, absent in (("step by step", highest, None), ("tf32", rounded, highest)):
        text = str(outcome(scenario)["lowered"]).replace("#stablehlo<precision ", "precision ").replace(">", "")
        assert present in text
        assert absent is None or absent not in text
    assert_same(trained_once(outcome("tf32")), trained_once(outcome("step by step")))


def trained_once(outcome: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the first epoch gave: on a CPU the same in either precision."""
    return part(outcome, "0/0/")


def test_an_engine_that_takes_up_a_state_goes_on_to_the_same_bits(outcome: Outcome) -> None:
    own = outcome("carried")
    assert_same(part(own, "moved/"), part(own, "stayed/"))
    assert own["moved_on"]


def test_a_reset_engine_trains_as_a_new_one_does(outcome: Outcome) -> None:
    own = outcome("carried")
    assert_same(part(own, "anew/"), part(own, "start/"))


def test_what_was_read_is_a_copy_that_later_steps_leave_alone(outcome: Outcome) -> None:
    assert outcome("carried")["untouched"]


def test_of_two_networks_each_follows_its_own_loss_whatever_the_losses_share(outcome: Outcome) -> None:
    own = outcome("gradients")
    for number in (0, 1):
        before, after = (own[f"Two/{number}/{when}"] for when in ("before", "after"))
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_array_equal(own[f"Coupled/{number}/before"], before)
        np.testing.assert_allclose(own[f"Coupled/{number}/after"], after, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(own["FirstOfTwo/0/after"], own["Two/0/after"], rtol=1e-4, atol=1e-6)
    left = 1 - 0.1 * 1.9 * 5e-4  # learning rate, Nesterov's first step at momentum 0.9, weight decay
    np.testing.assert_allclose(own["FirstOfTwo/1/after"], own["Two/1/before"] * left, rtol=1e-6)


def test_bfloat16_computes_in_it_and_keeps_logits_losses_and_weights_in_float32(outcome: Outcome) -> None:
    wide, narrow = outcome("step by step"), outcome("bfloat16")
    assert wide["dtypes"].tolist() == ["float32"] * 3
    assert narrow["dtypes"].tolist() == ["bfloat16", "float32", "float32"]
    for key, values in trained(narrow).items():
        assert values.dtype == wide[key].dtype, key
    loss = narrow["0/0/sums/loss"]
    assert not np.array_equal(loss, wide["0/0/sums/loss"])
    np.testing.assert_allclose(loss[0], wide["0/0/sums/loss"][0], rtol=0.05)


@pytest.mark.parametrize(("scenario", "calls"), [("no sync", STEPS), ("no sync, scan", 1)])
def test_an_epoch_goes_to_the_device_before_the_host_reads_anything(
    scenario: str, calls: int, outcome: Outcome
) -> None:
    own = outcome(scenario)
    assert own["steps"] == STEPS
    assert own["events"].tolist() == ["dispatch"] * calls + ["read"]
    assert own["same"]


def test_mistakes_get_one_line(outcome: Outcome) -> None:
    found = {key: str(value) for key, value in outcome("refusals").items()}
    expected = {
        "memory": "out of memory on the device; lower --batch-size",
        "state": "checkpoint: its state is of another network",
        "backend": "engine tensorflow: Keras runs on jax",
        "gpu": "--device gpu: the engine sees no GPU here",
        "gpu:1": "--device gpu:1: the engine sees no GPU here",
    }
    assert found.keys() == expected.keys()
    for key, line in expected.items():
        assert found[key].startswith(line)
        assert "\n" not in found[key]


def test_a_missing_jax_is_one_line_that_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from trainer.engine import load_backend\n"
        "from trainer.errors import TrainerError\n"
        "try: load_backend('jax')\n"
        "except TrainerError as error: print(error)"
    )
    status, out, err = finish(start([sys.executable, "-c", code]))
    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    assert out.startswith("engine jax: cannot be loaded (")
    assert "pip install 'selfie-noisy-labels[jax]'" in out


# Whole runs

ARGUMENTS = ["--network", "small-cnn", "--preset", "quick", "--epochs", "3", "--batch-size", "10"]
ARGUMENTS += ["--learning-rate", "0.05", "--noise-rate", "0.3"]
OWN = {"selfie": ["--warm-up", "1", "--history-length", "1", "--restarts", "1"]}
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
    """Four methods: run through, and run, killed by SIGTERM and resumed, in three processes."""

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
        # 3 steps an epoch: in the second epoch; SELFIE in its second run
        stopped = [(10 if m == "selfie" else 4, arguments(m, "parts", "--engine", "jax")) for m in METHODS]
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
    places = [line.partition("stopped by SIGTERM in ")[2].partition(" of 3")[0] for line in err.splitlines()]
    expected = {"selfie": "run 2, epoch 1, after step 1"}
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


def test_xla_knows_the_option_by_which_a_gpu_is_asked_for_determinism() -> None:
    code = (
        "import jax\n"
        "def compiled(option): return jax.jit(lambda x: x + 1, compiler_options={option: True})(1)\n"
        "print(compiled('xla_gpu_deterministic_ops'))\n"
        "try: compiled('xla_gpu_no_such_option')\n"
        "except Exception as error: print('xla_gpu_no_such_option' in str(error))\n"
    )
    status, out, err = finish(start([sys.executable, "-c", code]))
    assert (status, out.split(), err) == (0, ["2", "True"], "")
