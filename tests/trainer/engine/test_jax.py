"""The JAX engine, held to its own results, in a process of its own."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.support.engine_outcomes import Outcome, assert_same, finish, outcome_of, outcomes_of, part, start, trained

STEPS = 6
"""An epoch's: 60 samples in mini-batches of 10. So 24 steps come after the warm-up."""
SHORT = {"do": "train", "method": "selfie", "epochs": 3, "options": {"warm_up": 1, "history_length": 1}}
LARGE = {"count": 240, "size": 32, "depth": 3}
"""Its images take 1.1 MB, so that they do not fit into 1 MiB."""
WIDE = {"do": "train", "data": LARGE, "epochs": 1, "evaluate": True}
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


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the engine gave in a scenario."""
    return outcome_of(outcomes_of(tmp_path_factory.mktemp("engines"), [("jax", JAX)]))


def test_how_an_epoch_is_cut_into_calls_makes_no_difference(outcome: Outcome) -> None:
    arrays = outcome("step by step")
    assert_same(part(arrays, "in_steps/"), trained(arrays))


@pytest.mark.parametrize("scenario", ["scan", "streamed scan"])
def test_a_scan_which_a_gpu_runs_gives_the_results_of_single_steps(scenario: str, outcome: Outcome) -> None:
    expected, scanned = trained(outcome("step by step")), outcome(scenario)
    assert scanned["streams"] == (scenario == "streamed scan")
    assert scanned["programs"] == 1
    arrays = trained(scanned)
    assert arrays.keys() == expected.keys()
    for key, values in expected.items():
        if values.dtype.kind in "iu":
            np.testing.assert_array_equal(arrays[key], values, err_msg=key)
        else:
            np.testing.assert_allclose(arrays[key], values, rtol=2e-3, atol=2e-4, err_msg=key)


def test_a_dataset_that_streams_gives_the_bits_of_one_that_does_not(outcome: Outcome) -> None:
    streamed, resident = outcome("streamed"), outcome("resident")
    assert (bool(streamed["streams"]), bool(resident["streams"])) == (True, False)
    assert_same(trained(streamed), trained(resident))


@pytest.mark.parametrize("scenario", ["step by step", "uneven", "resident", "streamed"])
def test_a_run_has_one_training_program_and_one_for_evaluation(scenario: str, outcome: Outcome) -> None:
    arrays = outcome(scenario)
    assert arrays["programs"] == 1
    assert arrays["evaluation_programs"] == ("0/confusion" in arrays)


def test_images_that_fill_up_the_last_batch_are_not_evaluated(outcome: Outcome) -> None:
    assert outcome("uneven")["0/confusion"].sum() == 31


@pytest.mark.parametrize("scenario", ["prepared", "prepared scan"])
def test_a_prepared_step_is_compiled_once_and_gives_the_same_bits(scenario: str, outcome: Outcome) -> None:
    arrays = outcome(scenario)
    assert arrays["changed"].tolist() == []
    assert_same(part(arrays, "prepared/"), part(arrays, "unprepared/"))
    assert arrays["compiled"].tolist() == [str(arrays["program"])], "training compiled nothing more"


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
    arrays = outcome("carried")
    assert_same(part(arrays, "moved/"), part(arrays, "stayed/"))
    assert arrays["moved_on"]


def test_a_reset_engine_trains_as_a_new_one_does(outcome: Outcome) -> None:
    arrays = outcome("carried")
    assert_same(part(arrays, "anew/"), part(arrays, "start/"))


def test_what_was_read_is_a_copy_that_later_steps_leave_alone(outcome: Outcome) -> None:
    assert outcome("carried")["untouched"]


def test_of_two_networks_each_follows_its_own_loss_whatever_the_losses_share(outcome: Outcome) -> None:
    arrays = outcome("gradients")
    for number in (0, 1):
        before, after = (arrays[f"Two/{number}/{when}"] for when in ("before", "after"))
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_array_equal(arrays[f"Coupled/{number}/before"], before)
        np.testing.assert_allclose(arrays[f"Coupled/{number}/after"], after, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(arrays["FirstOfTwo/0/after"], arrays["Two/0/after"], rtol=1e-4, atol=1e-6)
    left = 1 - 0.1 * 1.9 * 5e-4  # learning rate, Nesterov's first step at momentum 0.9, weight decay
    np.testing.assert_allclose(arrays["FirstOfTwo/1/after"], arrays["Two/1/before"] * left, rtol=1e-6)


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
    arrays = outcome(scenario)
    assert arrays["steps"] == STEPS
    assert arrays["events"].tolist() == ["dispatch"] * calls + ["read"]
    assert arrays["same"]


def test_mistakes_get_one_line(outcome: Outcome) -> None:
    lines = {key: str(value) for key, value in outcome("refusals").items()}
    expected = {
        "memory": "out of memory on the device; lower --batch-size",
        "state": "checkpoint: its state is of another network",
        "backend": "engine tensorflow: Keras runs on jax",
        "gpu": "--device gpu: the engine sees no GPU here",
        "gpu:1": "--device gpu:1: the engine sees no GPU here",
    }
    assert lines.keys() == expected.keys()
    for key, line in expected.items():
        assert lines[key].startswith(line)
        assert "\n" not in lines[key]


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
