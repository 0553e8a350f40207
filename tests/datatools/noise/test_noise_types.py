"""The contract of every noise type, and how the labels of those with a transition matrix are spread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from datatools.corruption import corrupt, default_name
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.noise import NOISE_TYPES, matrix_file, noise_type, transition_matrix
from datatools.noise.asymmetric import CIFAR10_NAMES, asymmetric
from datatools.noise.base import GIVEN, NoiseRequest
from datatools.verification import verify
from tests.support.factories import clean_dataset, convert_source, made_up_source, tree
from tests.support.label_files import human_columns, write_pt

RECORDS, CLASSES = 60, 10
SKEWED = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    """Classes of CIFAR-10's names, six images a class."""
    labels = np.random.default_rng(0).permutation(np.arange(RECORDS) % CLASSES)
    source = made_up_source(labels, [0, 1], CLASSES, (3, 4, 4))
    object.__setattr__(source, "class_names", CIFAR10_NAMES)
    return convert_source(source, tmp_path / "clean").dataset


def matrix_path(folder: Path) -> Path:
    path = folder / "confusion.csv"
    np.savetxt(path, np.eye(CLASSES) * 0.5 + 0.05, delimiter=",")
    return path


def labels_path(folder: Path) -> Path:
    return write_pt(folder / "human.pt", human_columns(open_dataset(folder / "clean").labels("train"), CLASSES))


def donor_path(folder: Path) -> Path:
    return clean_dataset(folder / "donor", train=70, shape=(3, 4, 4), seed=5).path


OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    **{name: lambda folder: {"rate": 0.4} for name, spec in NOISE_TYPES.items() if spec.needs == ("rate",)},
    "matrix": lambda folder: {"matrix": matrix_path(folder)},
    "human": lambda folder: {"labels": labels_path(folder), "column": "worse_label"},
    "open-set": lambda folder: {"rate": 0.4, "donor": donor_path(folder)},
}
"""One line for every noise type: the options it needs; each gets a folder in which the parent is `clean`."""
CASES = [(name, sampling) for name, spec in NOISE_TYPES.items() for sampling in spec.samplings]


def asked(noise: str, sampling: str, folder: Path) -> dict[str, Any]:
    return {"noise": noise, "sampling": None if sampling == GIVEN else sampling, **OPTIONS[noise](folder)}


# --- the contract of every line of the registry ----------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "sampling"), CASES)
def test_dataset_and_manifest_agree_and_verify(tmp_path: Path, parent: Dataset, noise: str, sampling: str) -> None:
    made = corrupt(parent, **asked(noise, sampling, tmp_path))
    manifest = read_manifest(made.dataset.manifest_path, RECORDS, CLASSES)
    assert manifest.clean_labels.tolist() == parent.labels("train").tolist()
    assert manifest.noisy_labels.tolist() == made.dataset.labels("train").tolist()
    assert manifest.is_changed.any()
    assert manifest.realised_rate == manifest.is_changed.mean()
    assert (manifest.noise_type, manifest.sampling) == (noise, sampling)
    assert (manifest.rate is None) == ("rate" not in NOISE_TYPES[noise].needs)
    section = made.dataset.metadata.noise or {}
    assert (section["type"], section["convention"]) == (noise, NOISE_TYPES[noise].convention)
    assert section["realised_rate"] == manifest.realised_rate
    if manifest.transition_matrix is not None:
        np.testing.assert_allclose(manifest.transition_matrix.sum(axis=1), 1, rtol=0, atol=1e-12)
    checks = list(verify(open_dataset(made.dataset.path)))
    assert [check for check in checks if check.passed is not True] == []


@pytest.mark.parametrize(("noise", "sampling"), CASES)
def test_the_same_request_gives_the_same_bytes_and_another_seed_others(
    tmp_path: Path, parent: Dataset, noise: str, sampling: str
) -> None:
    options = asked(noise, sampling, tmp_path)
    first = tree(corrupt(parent, **options).dataset.path)
    assert tree(corrupt(parent, **options, overwrite=True).dataset.path) == first
    if NOISE_TYPES[noise].is_seeded:
        other = tree(corrupt(parent, **options, seed=1).dataset.path)
        assert other["data_batch_1.bin"] != first["data_batch_1.bin"]


@pytest.mark.parametrize(("noise", "sampling"), CASES)
def test_labels_do_not_hang_on_the_order_of_the_records(
    tmp_path: Path, parent: Dataset, noise: str, sampling: str
) -> None:
    ids, clean = parent.ids("train"), parent.labels("train")
    options = OPTIONS[noise](tmp_path)
    drawn = NOISE_TYPES[noise].draw(NoiseRequest(parent, ids, clean, options.pop("rate", None), 0, sampling, **options))
    assert drawn.labels.shape == clean.shape
    assert clean.tolist() == parent.labels("train").tolist()  # left as they were
    if noise == "instance":  # looks at pixels, so the records must be those of the parent: see test_instance.py
        return
    order = np.random.default_rng(1).permutation(RECORDS)
    options = OPTIONS[noise](tmp_path / ".") if noise != "open-set" else {"rate": 0.4, "donor": tmp_path / "donor"}
    shuffled = NOISE_TYPES[noise].draw(
        NoiseRequest(parent, ids[order], clean[order], options.pop("rate", None), 0, sampling, **options)
    )
    assert shuffled.labels.tolist() == drawn.labels[order].tolist()
    if drawn.replaced_by is not None and shuffled.replaced_by is not None:
        assert shuffled.replaced_by.tolist() == drawn.replaced_by[order].tolist()


@pytest.mark.parametrize("noise", [name for name, spec in NOISE_TYPES.items() if "rate" in spec.needs])
def test_rate_zero_changes_nothing(tmp_path: Path, parent: Dataset, noise: str) -> None:
    made = corrupt(parent, noise=noise, **{**OPTIONS[noise](tmp_path), "rate": 0.0})
    assert made.manifest.realised_rate == 0
    assert made.notices == ()
    for file in parent.metadata.splits["train"]:
        assert (made.dataset.path / file.name).read_bytes() == (parent.path / file.name).read_bytes()


def test_what_lies_beside_the_batches_comes_along(tmp_path: Path, parent: Dataset) -> None:
    (parent.path / "files.csv").write_text("id,split,path\n")
    (parent.path / "folder").mkdir()
    (parent.path / "link").symlink_to(tmp_path / "elsewhere")
    made = corrupt(parent, noise="pair", rate=0.2).dataset.path
    assert (made / "files.csv").read_text() == "id,split,path\n"
    assert not (made / "folder").exists()
    assert not (made / "link").is_symlink()


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "name"),
    [
        ("symmetric-inclusive", "clean-symmetric-inclusive-0.4-seed0"),
        ("matrix", "clean-matrix-confusion-seed0"),
        ("human", "clean-human-worse_label"),
        ("open-set", "clean-open-set-0.4-seed0"),
    ],
)
def test_the_directory_is_named_after_the_noise(tmp_path: Path, parent: Dataset, noise: str, name: str) -> None:
    assert corrupt(parent, noise=noise, **OPTIONS[noise](tmp_path)).dataset.path == tmp_path / name


def test_a_column_is_no_path() -> None:
    assert default_name("a", "human", None, 0, column="../b") == "a-human-.._b"


# --- options ---------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "rate": 0.2,
    "matrix": Path("m.csv"),
    "labels": Path("l.pt"),
    "column": "c",
    "donor": Path("d"),
}


@pytest.mark.parametrize("option", VALUES)
@pytest.mark.parametrize("noise", NOISE_TYPES)
def test_each_type_takes_what_it_needs_and_nothing_else(
    tmp_path: Path, parent: Dataset, noise: str, option: str
) -> None:
    needs = NOISE_TYPES[noise].needs
    given = {name: VALUES[name] for name in needs}
    wrong = {**given, option: None} if option in needs else {**given, option: VALUES[option]}
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=f"--{option}"):
        corrupt(parent, noise=noise, **wrong)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": "instance", "rate": 0.2, "sampling": "exact"}, "--sampling exact: --type instance has bernoulli"),
        ({"noise": "human", "labels": Path("x"), "column": "c", "seed": 0}, "--seed"),
        ({"noise": "human", "labels": Path("x"), "column": "c", "sampling": "exact"}, "--sampling"),
        ({"noise": "instance", "rate": 0.2, "seed": -1}, "seed -1"),
        ({"noise": "open-set", "rate": 1.0, "donor": Path("x")}, "rate 1"),
    ],
)
def test_sampling_seed_and_rate_are_looked_at(parent: Dataset, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataToolsError, match=said):
        corrupt(parent, **options)


# --- a matrix from a file --------------------------------------------------------------------------------------------


def parsed(data: bytes, classes: int = 3) -> np.ndarray:
    return matrix_file.parse(data, Path("m"), tuple("abcdefgh"[:classes]))


def csv(matrix: Any) -> bytes:
    return "\n".join(",".join(str(cell) for cell in row) for row in matrix).encode()


def npy(folder: Path, array: Any) -> bytes:
    np.save(folder / "m.npy", np.asarray(array))
    return (folder / "m.npy").read_bytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f8"])
def test_a_matrix_is_read_from_csv_and_npy(tmp_path: Path, dtype: Any) -> None:
    for array in (SKEWED.astype(dtype), np.asfortranarray(SKEWED.astype(dtype))):
        np.testing.assert_allclose(parsed(npy(tmp_path, array)), SKEWED, atol=1e-7)
    np.testing.assert_array_equal(parsed(csv(SKEWED.tolist())), SKEWED)
    np.testing.assert_array_equal(parsed(b"\xef\xbb\xbf" + csv(SKEWED.tolist()) + b"\r\n\r\n"), SKEWED)
    np.testing.assert_array_equal(parsed(b"1, 0 ,0\n0,1,0\n0,0,1"), np.eye(3))


def test_rows_that_nearly_sum_to_one_are_made_to() -> None:
    matrix = parsed(csv([[0.3333333, 0.3333333, 0.3333333], [0, 1, 0], [0, 0, 1]]))
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[0.5, 0.6, 0], [0, 1, 0], [0, 0, 1]], r"row 1 \(a\) sums to 1.1"),
        ([[1, 0, 0], [0, 1, 0], [0, 0.99, 0]], r"row 3 \(c\) sums to 0.99"),
        ([[1, 0, 0], [0, 1, 0], [0, 1.000002, 0]], "sums to 1.000002"),
        ([[1, 0, 0], [-0.5, 1.5, 0], [0, 0, 1]], r"row 2 \(b\), column 1 is -0.5"),
        ([[1, 0, 0], [0, "nan", 1], [0, 0, 1]], "column 2 is nan"),
        ([[1, 0, 0], [0, "inf", 1], [0, 0, 1]], "column 2 is inf"),
        ([[1, 0], [0, 1]], "2 x 2, a 3 x 3 matrix is expected"),
        ([[1, 0, 0], [0, 1, 0]], "2 x 3"),
        ([[1, 0, 0], [0, 1], [0, 0, 1]], "rows of 2 to 3"),
        ([["a", "b", "c"], [1, 0, 0], [0, 1, 0], [0, 0, 1]], "line 1, 'a,b,c'"),
        ([], "m: empty"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(tmp_path: Path, matrix: Any, said: str) -> None:
    with pytest.raises(DataToolsError, match=said) as caught:
        parsed(csv(matrix))
    assert "\n" not in str(caught.value)
    if said.startswith(("row ", "column", "sums")):
        with pytest.raises(DataToolsError, match=said):
            parsed(npy(tmp_path, [[float(cell) for cell in row] for row in matrix]))


def test_other_files_are_no_matrix(tmp_path: Path, parent: Dataset) -> None:
    for data, said in (
        (b"\xff\xfe", "neither text nor"),
        (npy(tmp_path, SKEWED)[:-1], "cut short"),
        (npy(tmp_path, SKEWED)[:20], "not a .npy"),
        (npy(tmp_path, SKEWED).replace(b"(3, 3)", b"(9, 9)"), "cut short"),
        (npy(tmp_path, SKEWED).replace(b"(3, 3), }  ", b"(999999, 9)}"), "cut short"),
        (npy(tmp_path, np.array(["a"])), "plain numbers"),
        (npy(tmp_path, np.eye(3) * 1j), "plain numbers"),
        (npy(tmp_path, 0.5), "a single number"),
        (npy(tmp_path, np.array([{}], object)), "plain numbers"),
    ):
        with pytest.raises(DataToolsError, match=said) as caught:
            parsed(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataToolsError, match="no such file"):
        corrupt(parent, noise="matrix", matrix=tmp_path / "missing.csv")
    large = tmp_path / "large.csv"
    large.touch()
    with large.open("r+b") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(DataToolsError, match="larger than 64 MiB"):
        corrupt(parent, noise="matrix", matrix=large)


def test_the_file_is_named_with_its_checksum(tmp_path: Path, parent: Dataset) -> None:
    noise = corrupt(parent, noise="matrix", matrix=matrix_path(tmp_path)).dataset.metadata.noise or {}
    assert noise["matrix_file"]["name"] == "confusion.csv"
    assert len(noise["matrix_file"]["sha256"]) == 64


# --- 100,000 labels --------------------------------------------------------------------------------------------------

LARGE = 100_000


def of_class_numbers(noise: str, folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    return transition_matrix(noise, CLASSES, 0.3), {"rate": 0.3}


MATRICES: dict[str, Callable[[Path], tuple[np.ndarray, dict[str, Any]]]] = {
    **{name: partial(of_class_numbers, name) for name, spec in NOISE_TYPES.items() if spec.matrix},
    "asymmetric": lambda folder: (asymmetric(CIFAR10_NAMES, 0.3), {"rate": 0.3}),
    "matrix": lambda folder: (np.eye(CLASSES) * 0.5 + 0.05, {"matrix": matrix_path(folder)}),
}


@pytest.fixture
def large(parent: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Ids and labels of 100,000 records, 10,000 a class."""
    return np.arange(LARGE), np.random.default_rng(7).permutation(np.arange(LARGE) % CLASSES)


def counted(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    return np.bincount(clean * CLASSES + noisy, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def drawn_labels(parent: Dataset, noise: str, sampling: str, large: Any, options: dict[str, Any]) -> np.ndarray:
    ids, clean = large
    request = NoiseRequest(parent, ids, clean, options.pop("rate", None), 11, sampling, **options)
    return noise_type(noise)[1].draw(request).labels


@pytest.mark.parametrize("noise", MATRICES)
def test_exact_labels_are_the_matrix_to_the_count(tmp_path: Path, parent: Dataset, large: Any, noise: str) -> None:
    matrix, options = MATRICES[noise](tmp_path)
    counts = counted(large[1], drawn_labels(parent, noise, "exact", large, options))
    assert np.abs(counts - matrix * LARGE / CLASSES).max() < 1
    assert counts.sum(axis=1).tolist() == [LARGE // CLASSES] * CLASSES


@pytest.mark.parametrize("noise", MATRICES)
def test_bernoulli_labels_follow_the_matrix(tmp_path: Path, parent: Dataset, large: Any, noise: str) -> None:
    matrix, options = MATRICES[noise](tmp_path)
    counts = counted(large[1], drawn_labels(parent, noise, "bernoulli", large, options))
    expected = matrix * LARGE / CLASSES
    possible = expected > 0
    assert (counts[~possible] == 0).all()
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - CLASSES
    assert 1e-4 < stats.chi2.sf(statistic, freedom) < 1 - 1e-4  # too good a fit is no random draw either


def test_every_type_with_a_matrix_of_its_own_is_held_to_it() -> None:
    # instance: test_instance.py; human and open-set ask for none
    assert set(NOISE_TYPES) - set(MATRICES) == {"instance", "human", "open-set"}


def test_the_inclusive_rate_is_lower_than_the_requested() -> None:
    matrix = transition_matrix("symmetric-inclusive", 10, 0.4)
    np.testing.assert_allclose(matrix, 0.6 * np.eye(10) + 0.04, atol=1e-15)
    assert 1 - np.diag(matrix).mean() == pytest.approx(0.4 * (1 - 1 / 10))
