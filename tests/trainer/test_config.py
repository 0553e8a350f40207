"""Settings: what follows from what, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.format.dataset import Dataset
from tests.support.tiny import examples, metadata, run_config, write_dataset
from trainer.config import RunConfig, resolve
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.methods.default import Default
from trainer.methods.selfie import Selfie
from trainer.networks import FEATURES, NETWORKS
from trainer.presets import PRESETS


def dataset(labels: str = "noisy", realised: float = 0.25) -> Dataset:
    return Dataset(Path("data/tiny"), metadata(labels=labels, realised=realised))


def test_the_paper_preset_is_the_paper_s_protocol() -> None:
    config = resolve("selfie", dataset())
    assert (config.preset, config.network, config.epochs, config.batch_size) == ("paper", "densenet-25-12", 100, 128)
    assert (config.learning_rate, config.drop_epochs, config.drop_factor) == (0.1, (50, 75), 0.2)
    assert (config.momentum, config.weight_decay) == (0.9, 5e-4)
    assert config.method_settings == {
        "warm_up": 25,
        "history_length": 15,
        "uncertainty_threshold": 0.05,
        "restarts": 2,
        "refurbish": "remembered",
        "passes": 1,
        "history_start": "empty",
        "warm_up_labels": "remembered",
        "restart_noise_rate": "lowered",
    }
    assert config.make_method() == Selfie(25, 15, 0.05, 2, "remembered")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_resolves_and_is_used_where_nothing_is_given(preset: str) -> None:
    base = PRESETS[preset].values
    features = "efficientnet-lite0" if NETWORKS[base["network"]].takes == FEATURES else None
    config = resolve("default", dataset(), preset=preset, features=features)
    of_epochs = ("drop_points", "decay_point")
    assert {name: getattr(config, name) for name in base if name not in of_epochs} == {
        name: value for name, value in base.items() if name not in of_epochs
    }
    assert config.network in NETWORKS


def test_features_have_a_preset_of_their_own_which_another_one_replaces() -> None:
    config = resolve("default", dataset(), features="efficientnet-lite0")
    assert (config.preset, config.network, config.weight_decay) == ("features", "linear", 0.1)
    config = resolve("default", dataset(), features="efficientnet-lite0", preset="quick", network="mlp")
    assert (config.preset, config.network, config.weight_decay) == ("quick", "mlp", 5e-4)
    assert resolve("default", dataset()).preset == "paper"


def test_a_file_of_features_is_named_wherever_one_works_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolve("default", dataset(), features="some/mine.npy")
    assert config.features == str(tmp_path / "some" / "mine.npy")
    monkeypatch.chdir("/")
    assert RunConfig.from_json(config.to_json()) == config
    assert resolve("default", dataset(), features="keras:MobileNetV3Small").features == "keras:MobileNetV3Small"


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"network": "linear"}, "--network linear: takes features; name them with --features"),
        ({"preset": "features"}, "--network linear: takes features; name them with --features"),
        ({"features": "x.npy", "network": "small-cnn"}, "takes images; with --features choose --network linear or mlp"),
        ({"features": "x.npy", "preset": "quick"}, "--network small-cnn: takes images; with --features"),
        ({"features": "x.npy", "augmentation": "crop-flip"}, "features have none; pass --augmentation none"),
        ({"features": "x.npy", "preset": "elr-2020", "network": "mlp"}, "--augmentation crop-flip: changes pixels"),
    ],
)
def test_what_does_not_go_with_features_is_refused(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(TrainerError) as caught:
        resolve("default", dataset(), **settings)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_given_goes_before_the_preset() -> None:
    config = resolve(
        "default", dataset(), preset="quick", network="vgg-19", epochs=7, batch_size=3, learning_rate=0.5, seed=9
    )
    assert (config.network, config.epochs, config.batch_size, config.learning_rate) == ("vgg-19", 7, 3, 0.5)
    assert (config.seed, config.engine) == (9, "tensorflow")


@pytest.mark.parametrize(
    ("epochs", "drops", "warm_up", "history_length"),
    [
        (100, (50, 75), 25, 15),
        (40, (20, 30), 10, 10),
        (30, (15, 23), 8, 8),
        (8, (4, 6), 2, 2),
        (3, (2, 3), 1, 1),
        (1, (1, 1), 1, 1),
        (200, (100, 150), 50, 15),
    ],
)
def test_settings_that_hang_on_the_epochs_follow_them(
    epochs: int, drops: tuple[int, int], warm_up: int, history_length: int
) -> None:
    config = resolve("selfie", dataset(), epochs=epochs)
    assert config.drop_epochs == drops
    assert config.method_settings["warm_up"] == warm_up
    assert config.method_settings["history_length"] == history_length


def test_the_history_is_at_most_the_warm_up_that_is_given() -> None:
    settings = resolve("selfie", dataset(), epochs=100, method_options={"warm_up": 6}).method_settings
    assert (settings["warm_up"], settings["history_length"]) == (6, 6)


def test_without_a_warm_up_the_history_is_one_prediction() -> None:
    assert resolve("selfie", dataset(), method_options={"warm_up": 0}).method_settings["history_length"] == 1


def test_the_learning_rate_drops_at_half_and_three_quarters() -> None:
    config = resolve("default", dataset(), epochs=8, learning_rate=0.1)
    rates = [config.learning_rate_at(epoch) for epoch in range(8)]
    np.testing.assert_allclose(rates, [0.1] * 4 + [0.02] * 2 + [0.004] * 2)


@pytest.mark.parametrize("method", METHODS)
def test_a_config_comes_back_from_json_as_it_was(method: str) -> None:
    config = resolve(method, dataset(), epochs=8, seed=3)
    values = json.loads(json.dumps(config.to_json()))
    assert RunConfig.from_json(values) == config
    assert RunConfig.from_json(values).make_method() == config.make_method()


def test_json_names_every_setting() -> None:
    fields = {field.name for field in dataclasses.fields(RunConfig)}
    assert run_config().to_json().keys() == fields


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        run_config().epochs = 3  # type: ignore[misc]


def test_default_has_no_settings_of_its_own() -> None:
    config = resolve("default", dataset())
    assert config.method_settings == {}
    assert config.make_method() == Default()


def test_the_noise_rate_of_a_noisy_dataset_is_the_realised_one() -> None:
    config = resolve("selfie", dataset("noisy", realised=0.1875))
    assert config.noise_rate == 0.1875
    assert "realised" in config.noise_rate_from


def test_a_dataset_without_one_right_label_is_refused_by_its_name() -> None:
    with pytest.raises(TrainerError, match=r"^data/tiny: every training label is wrong") as error:
        resolve("selfie", dataset("noisy", realised=1.0))
    assert "--noise-rate" not in str(error.value)


def test_the_noise_rate_of_a_written_dataset_is_the_share_of_labels_that_differ(tmp_path: Path) -> None:
    ids, clean, pixels = examples(16)
    noisy = clean.copy()
    noisy[:3] = (noisy[:3] + 1) % 3
    made = write_dataset(tmp_path / "noisy", (ids, noisy, pixels), examples(4), labels="noisy", clean_labels=clean)
    assert resolve("selfie", made).noise_rate == 3 / 16


def test_the_noise_rate_of_a_clean_dataset_is_0() -> None:
    assert resolve("selfie", dataset("clean")).noise_rate == 0.0


def test_the_noise_rate_of_unknown_labels_has_to_be_told() -> None:
    with pytest.raises(TrainerError, match="--noise-rate") as error:
        resolve("selfie", dataset("unknown"))
    assert "data/tiny" in str(error.value)
    assert resolve("selfie", dataset("unknown"), noise_rate=0.3).noise_rate == 0.3


@pytest.mark.parametrize("labels", ["noisy", "clean"])
def test_a_noise_rate_that_is_given_goes_before_the_dataset_s(labels: str) -> None:
    config = resolve("selfie", dataset(labels), noise_rate=0.45)
    assert (config.noise_rate, config.noise_rate_from) == (0.45, "--noise-rate")
    assert resolve("selfie", dataset(labels), noise_rate=0.0).noise_rate == 0.0


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("epochs", -3),
        ("batch_size", 1),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", -0.1),
        ("learning_rate", NAN),
        ("learning_rate", INFINITE),
        ("noise_rate", -0.01),
        ("noise_rate", 1.0),
        ("noise_rate", 40.0),
        ("noise_rate", NAN),
        ("seed", -1),
        ("method", "selfy"),
        ("network", "resnet"),
        ("preset", "fast"),
        ("engine", "torch"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_setting_and_the_value(setting: str, value: Any) -> None:
    given = {"method": "selfie", setting: value}
    with pytest.raises(TrainerError) as error:
        resolve(given.pop("method"), dataset(), **given)
    message = str(error.value)
    assert setting.replace("_", "-") in message
    assert str(value) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("setting", "value"), [("epochs", 0), ("batch_size", 1), ("learning_rate", NAN), ("noise_rate", 1.0), ("seed", -1)]
)
def test_a_config_that_is_made_directly_is_checked_too(setting: str, value: Any) -> None:
    with pytest.raises(TrainerError, match=setting.replace("_", "-")):
        dataclasses.replace(run_config(), **{setting: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm_up": 11}, "--warm-up 11"),
        ({"history_length": 4, "warm_up": 3}, "--history-length 4"),
        ({"history_length": 3}, "--history-length 3"),
    ],
)
def test_settings_of_a_method_that_contradict_each_other_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(TrainerError, match=message):
        resolve("selfie", dataset(), epochs=10, method_options=options)
