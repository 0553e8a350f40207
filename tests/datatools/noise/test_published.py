"""The contract of every published convention: what it takes and refuses, what it says, and that it repeats itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.noise import NOISE_TYPES
from datatools.noise.base import NoiseRequest
from datatools.noise.published import CONVENTIONS, published_type
from datatools.noise.published.base import CIFAR100_NAMES
from datatools.verification import verify
from tests.support.datatools_command import Command
from tests.support.factories import clean_dataset, convert_source, made_up_source, real, tree
from tests.support.noise_options import CLASSES, RECORDS

CASES = [(name, noise) for name, convention in CONVENTIONS.items() for noise in convention.types]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_line_says_where_it_is_from(name: str) -> None:
    convention = CONVENTIONS[name]
    assert all((convention.method, convention.paper, convention.sets))
    assert convention.code.startswith("github.com/")
    assert convention.types.keys() <= NOISE_TYPES.keys()
    assert all("rate" in spec.convention and spec.needs == ("rate",) for spec in convention.types.values())


@pytest.mark.parametrize(("name", "noise"), CASES)
def test_dataset_and_manifest_agree_and_verify(tmp_path: Path, parent: Dataset, name: str, noise: str) -> None:
    made = corrupt(parent, noise=noise, rate=0.4, published=name)
    spec = published_type(name, noise)
    manifest = read_manifest(made.dataset.manifest_path, RECORDS, CLASSES)
    assert manifest.clean_labels.tolist() == parent.labels("train").tolist()
    assert manifest.noisy_labels.tolist() == made.dataset.labels("train").tolist()
    assert manifest.is_changed.any()
    assert (manifest.noise_type, manifest.rate, manifest.sampling) == (f"{noise} as {name}", 0.4, "published")
    assert manifest.seed == (spec.default_seed if spec.is_seeded else None)
    assert manifest.transition_matrix is not None
    np.testing.assert_allclose(manifest.transition_matrix.sum(axis=1), 1, rtol=0, atol=1e-12)
    section = made.dataset.metadata.noise or {}
    assert section["convention"] == spec.convention
    assert section["as"].items() >= {"name": name, "type": noise, "code": CONVENTIONS[name].code}.items()
    assert section["as"].get("differs", "") == CONVENTIONS[name].differs
    assert not CONVENTIONS[name].differs or f"--as {name}: {CONVENTIONS[name].differs}" in made.notices
    assert [check for check in verify(open_dataset(made.dataset.path)) if check.passed is not True] == []


@pytest.mark.parametrize(("name", "noise"), CASES)
def test_the_same_request_gives_the_same_bytes_and_another_seed_others(parent: Dataset, name: str, noise: str) -> None:
    options: dict[str, Any] = {"noise": noise, "rate": 0.4, "published": name}
    made = corrupt(parent, **options).dataset
    seed = published_type(name, noise).default_seed
    ending = f"-seed{seed}" if published_type(name, noise).is_seeded else ""
    assert made.path.name == f"clean-{noise}-0.4-{name}{ending}"
    first = tree(made.path)
    assert tree(corrupt(parent, **options, overwrite=True).dataset.path) == first
    if ending:
        assert tree(corrupt(parent, **options, seed=seed, overwrite=True).dataset.path) == first
        other = tree(corrupt(parent, **options, seed=seed + 1).dataset.path)
        assert other["data_batch_1.bin"] != first["data_batch_1.bin"]
    else:
        with pytest.raises(DataToolsError, match=r"--seed: .* seed 0 whatever the seed of the run"):
            corrupt(parent, **options, seed=0)


@pytest.mark.parametrize(("name", "noise"), CASES)
def test_labels_depend_on_ids_and_not_on_the_order_of_the_records(parent: Dataset, name: str, noise: str) -> None:
    ids, clean = parent.ids("train"), parent.labels("train")
    spec = published_type(name, noise)
    straight = spec.draw(NoiseRequest(parent, ids, clean, 0.4, 0, "published")).labels
    order = np.random.default_rng(1).permutation(RECORDS)
    shuffled = spec.draw(NoiseRequest(parent, ids[order], clean[order], 0.4, 0, "published")).labels
    assert shuffled.tolist() == straight[order].tolist()


@pytest.mark.parametrize(("name", "noise"), CASES)
def test_rate_zero_changes_nothing(parent: Dataset, name: str, noise: str) -> None:
    made = corrupt(parent, noise=noise, rate=0.0, published=name)
    assert made.manifest.realised_rate == 0


@pytest.mark.parametrize("name", CONVENTIONS)
def test_what_the_code_does_not_have_is_refused(tmp_path: Path, parent: Dataset, name: str) -> None:
    before = tree(tmp_path)
    for noise in NOISE_TYPES.keys() - CONVENTIONS[name].types.keys():
        with pytest.raises(DataToolsError, match=f"^--as {name}: .* code has no {noise} noise; its types are "):
            corrupt(parent, noise=noise, rate=0.4, published=name)
    for noise in CONVENTIONS[name].types:
        with pytest.raises(DataToolsError, match=r"--sampling: .* leave --sampling out"):
            corrupt(parent, noise=noise, rate=0.4, published=name, sampling="exact")
        with pytest.raises(DataToolsError, match=f"--type {noise} --as {name} needs --rate"):
            corrupt(parent, noise=noise, published=name)
    assert tree(tmp_path) == before


def test_an_unknown_code_is_refused_with_the_known_ones(parent: Dataset) -> None:
    with pytest.raises(DataToolsError, match="--as selfie: not known; known are co-teaching"):
        corrupt(parent, noise="pair", rate=0.4, published="selfie")


@pytest.mark.parametrize("name", ["elr", "sop", "dividemix"])
@pytest.mark.parametrize("classes", ["others", "other order", "CIFAR-100", "one"])
def test_asymmetric_noise_wants_the_classes_that_the_code_knows(tmp_path: Path, name: str, classes: str) -> None:
    numbers = {"others": 10, "other order": 100, "CIFAR-100": 100, "one": 1}[classes]
    source = made_up_source(np.arange(200) % numbers, [0], numbers)
    if numbers == 100:
        names = CIFAR100_NAMES if classes == "CIFAR-100" else CIFAR100_NAMES[::-1]
        source = replace(source, class_names=names)
    dataset = convert_source(source, tmp_path / "clean").dataset
    if classes == "CIFAR-100" and name != "dividemix":
        assert corrupt(dataset, noise="asymmetric", rate=0.4, published=name).manifest.is_changed.any()
        return
    with pytest.raises(DataToolsError, match="two classes are needed" if classes == "one" else r"CIFAR-10 .*alone"):
        corrupt(dataset, noise="asymmetric", rate=0.4, published=name)


def test_cifar100_names_are_the_official_order() -> None:
    assert real("cifar-100-binary", "fine_label_names.txt").read_text().split() == list(CIFAR100_NAMES)


# --- what is said ----------------------------------------------------------------------------------------------------


def test_the_screen_has_the_authors_words_beside_what_came_out(tmp_path: Path, datatools: Command) -> None:
    clean_dataset(tmp_path / "data" / "clean", train=400)
    outcome = datatools("corrupt", "--type", "symmetric", "--rate", 0.5, "--as", "dividemix")
    rate = (open_dataset(tmp_path / "data" / "clean-symmetric-0.5-dividemix-seed123").metadata.noise or {})[
        "realised_rate"
    ]
    first, *matrix = outcome.out.splitlines()
    assert first.endswith(f"rate {rate:g} (symmetric 0.5 in DivideMix's words), symmetric as dividemix, seed 123")
    shares = np.array([line.split()[-4:] for line in matrix[1:]], float)
    assert shares.shape == (4, 4)
    np.testing.assert_allclose(shares.sum(axis=1), 100, atol=0.3)
    assert 100 * rate == pytest.approx(100 - np.diag(shares).mean(), abs=0.1)
    assert "a text" in outcome.err
    assert "CIFAR-10, CIFAR-100 in the order of their files; data/clean is none of these" in outcome.err
    info = datatools("info", "data/clean-symmetric-0.5-dividemix-seed123").out
    assert "symmetric as dividemix, rate 0.5 requested" in info


def test_of_many_classes_the_screen_has_the_range(tmp_path: Path, datatools: Command) -> None:
    clean_dataset(tmp_path / "data" / "clean", train=400, num_classes=20)
    outcome = datatools("corrupt", "--type", "symmetric", "--rate", 0.5, "--as", "co-teaching")
    assert len(outcome.out.splitlines()) == 2
    assert "of a class's labels changed" in outcome.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--as", "co-teaching", "--type", "pair", "--seed", "0"], "leave --seed out"),
        (["--as", "elr", "--type", "pair"], "its types are symmetric, asymmetric"),
        (["--as", "sop", "--type", "symmetric", "--sampling", "exact"], "leave --sampling out"),
        (["--as", "nobody", "--type", "symmetric"], "--as"),
    ],
)
def test_a_mistake_is_wrong_usage(tmp_path: Path, datatools: Command, options: list[str], said: str) -> None:
    clean_dataset(tmp_path / "data" / "clean")
    before = tree(tmp_path)
    outcome = datatools("corrupt", "--rate", 0.5, *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert tree(tmp_path) == before
