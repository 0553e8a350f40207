"""Features files: what is written is read, whatever is wrong with one is one line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from tests.support.feature_runs import COUNT, NUMBERS, TESTS, features, noisy
from trainer.data import load
from trainer.features import open_features
from trainer.features.file import Facts, default_path, read_facts, write_features
from trainer.features.images import images_sha256

Arrays = dict[str, np.ndarray]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return noisy(tmp_path / "noisy")


def written(dataset: Dataset, size: int = 160, backbone: str = "efficientnet-lite0", dtype: str = "float32") -> Path:
    """The features file of a dataset, of features that no backbone made."""
    digest = images_sha256(load(dataset))
    path = default_path(dataset, backbone, size, digest)
    values = {split: array.astype(dtype) for split, array in features().items()}
    write_features(path, Facts(backbone, size, "ab" * 32, digest, dtype), values)
    return path


def refusal(dataset: Dataset, name: Path | str) -> str:
    with pytest.raises(DataToolsError) as caught:
        open_features(dataset, str(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_are_found_by_their_backbone_and_come_back(dtype: str, dataset: Dataset) -> None:
    path = written(dataset, dtype=dtype)
    assert path.parent == dataset.path.parent / "features"
    opened = open_features(dataset, "efficientnet-lite0")
    for split, values in features().items():
        read = getattr(opened, split)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values.astype(dtype).astype(np.float32))
    assert opened.backbone is not None
    assert (opened.backbone["backbone"], opened.backbone["size"], opened.path) == ("efficientnet-lite0", 160, path)
    facts = read_facts(path)
    assert facts is not None
    assert facts.dtype == dtype


def test_the_same_features_have_the_same_bytes(dataset: Dataset) -> None:
    first = written(dataset).read_bytes()
    written(dataset).unlink()
    assert written(dataset).read_bytes() == first


def test_every_noisy_version_of_the_same_images_shares_them(dataset: Dataset, tmp_path: Path) -> None:
    path = written(dataset)
    other = noisy(tmp_path / "noisier", wrong=2)
    assert open_features(other, "efficientnet-lite0").path == path
    assert open_features(other, str(path)).sha256 == open_features(dataset, str(path)).sha256


def test_the_images_digest_is_that_of_the_pixels_in_id_order(dataset: Dataset) -> None:
    import hashlib

    digest = hashlib.sha256()
    for split, count in (("train", COUNT), ("test", TESTS)):
        records = np.concatenate(list(dataset.batches(split)))
        pixels = records["pixels"][np.argsort(records["id"])].transpose(0, 2, 3, 1)
        digest.update(f"{split} {count} 8 8 1\n".encode() + pixels.tobytes())
    assert images_sha256(load(dataset)) == digest.hexdigest()


def test_features_of_other_images_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = written(dataset)
    batch = dataset.path / "data_batch_1.bin"
    content = bytearray(batch.read_bytes())
    content[20] ^= 1
    batch.write_bytes(content)
    assert "features of other images" in refusal(dataset, path)
    assert "no features of efficientnet-lite0" in refusal(dataset, "efficientnet-lite0")


def test_of_several_sizes_one_is_to_be_named(dataset: Dataset) -> None:
    paths = [written(dataset, size) for size in (96, 160)]
    message = refusal(dataset, "efficientnet-lite0")
    assert all(path.name in message for path in paths)
    assert open_features(dataset, str(paths[0])).path == paths[0]
    assert "trainer embed --data" in refusal(dataset, "keras:ResNet50")


def saved(path: Path, arrays: Arrays) -> Path:
    """Features as other models' users save them."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    elif path.suffix == ".npy":
        np.save(path, np.concatenate([*arrays.values()]))
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    return path


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5", ".hdf5"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "u1"])
def test_features_of_any_model_are_read(suffix: str, dtype: str, dataset: Dataset, tmp_path: Path) -> None:
    arrays = {split: values.astype(dtype) for split, values in features().items()}
    opened = open_features(dataset, str(saved(tmp_path / f"mine{suffix}", arrays)))
    for split, values in arrays.items():
        np.testing.assert_array_equal(getattr(opened, split), values.astype(np.float32))
    assert opened.backbone is None
    assert (opened.size, len(opened.sha256)) == (NUMBERS, 64)


def test_the_digest_is_of_the_numbers_and_not_of_the_file(dataset: Dataset, tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"mine{suffix}", features()) for suffix in (".npz", ".npy", ".h5")]
    assert len({open_features(dataset, str(path)).sha256 for path in paths}) == 1
    other = saved(tmp_path / "other.npz", features(seed=1))
    assert open_features(dataset, str(other)).sha256 != open_features(dataset, str(paths[0])).sha256


def without(name: str) -> Arrays:
    return {split: values for split, values in features().items() if split != name}


def changed(split: str, **places: Any) -> Arrays:
    arrays = features()
    for value, (row, column) in places.items():
        arrays[split][row, column] = float(value)
    return arrays


def short(split: str) -> Arrays:
    arrays = features()
    return {**arrays, split: arrays[split][:-1]}


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5"])
@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        (changed("train", nan=(7, 2)), "the train feature 2 of id 7 is nan"),
        (changed("test", inf=(3, 0)), "the test feature 0 of id 3 is inf"),
        (short("train"), "is expected: a row"),
        (short("test"), "is expected: a row"),
        ({split: values[:, :0] for split, values in features().items()}, "expected"),
        ({split: values.astype("S4") for split, values in features().items()}, "numbers"),
    ],
    ids=["nan", "inf", "train short", "test short", "no numbers", "text"],
)
def test_wrong_arrays_are_refused(suffix: str, arrays: Arrays, part: str, dataset: Dataset, tmp_path: Path) -> None:
    assert part in refusal(dataset, saved(tmp_path / f"mine{suffix}", arrays))


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_splits_have_to_be_there_and_of_one_model(suffix: str, dataset: Dataset, tmp_path: Path) -> None:
    for split in ("train", "test"):
        assert split in refusal(dataset, saved(tmp_path / f"{split}{suffix}", without(split)))
    narrow = {**features(), "test": features()["test"][:, :3]}
    assert "make both with one model" in refusal(dataset, saved(tmp_path / f"narrow{suffix}", narrow))


def test_a_file_cut_short_or_damaged_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    for path in (*(saved(tmp_path / f"mine{suffix}", features()) for suffix in (".npz", ".npy")), written(dataset)):
        content = path.read_bytes()
        for end in (0, 5, 100, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:end])
            assert refusal(dataset, path).startswith(str(path))
    assert "no such file" in refusal(dataset, tmp_path / "none.npy")
    (tmp_path / "text.h5").write_text("features")
    refusal(dataset, tmp_path / "text.h5")


def test_a_pickle_in_an_array_is_not_read(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.full((COUNT + TESTS, 2), {}, object), allow_pickle=True)
    assert "holds object" in refusal(dataset, path)


def test_an_archive_that_unpacks_without_end_is_refused(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.features.arrays.RATIO_FREE_BYTES", 1000)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, train=np.zeros((COUNT, 60_000), np.float32), test=np.zeros((TESTS, 60_000), np.float32))
    assert "times its size" in refusal(dataset, path)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("train.npy").compress_size < 100_000


def test_numbers_that_are_somewhere_else_are_not_fetched(dataset: Dataset, tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    saved(secret, features())
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["train"] = h5py.ExternalLink("secret.h5", "train")
        file["test"] = features()["test"]
    assert "no dataset 'train'" in refusal(dataset, tmp_path / "links.h5")


def test_a_file_of_a_later_version_is_refused(dataset: Dataset) -> None:
    path = written(dataset)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    assert "format_version 99" in refusal(dataset, path)


@pytest.mark.parametrize("name", ["mine", "mine.csv", "keras:", "efficientnet-lite7"])
def test_what_is_neither_a_backbone_nor_a_file_is_refused(name: str, dataset: Dataset) -> None:
    assert "neither a backbone (efficientnet-lite0, " in refusal(dataset, name)


def test_what_float16_cannot_hold_is_not_written(dataset: Dataset, tmp_path: Path) -> None:
    facts = Facts("efficientnet-lite0", 96, "", "", "float16")
    with pytest.raises(DataToolsError, match="pass --dtype float32"):
        write_features(tmp_path / "x.h5", facts, {"train": np.array([[np.inf]], np.float16)})
    assert not (tmp_path / "x.h5").exists()
