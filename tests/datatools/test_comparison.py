"""Two datasets of the same images: what differs, who is wrong, and which pairs are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.comparison import Comparison, compare, plot_agreement, summary
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from tests.support.factories import clean_dataset, convert_source, made_up_source, noisy_dataset
from tests.support.reader import read_split


@pytest.fixture
def clean(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "clean", train=200, num_classes=4)


def labels(dataset: Dataset) -> list[int]:
    return [label for _, label, _ in read_split(dataset.path, "train", 192)]


def edit(dataset: Dataset, change: Callable[[dict[str, Any]], None]) -> Dataset:
    file = dataset.path / "dataset.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))
    return open_dataset(dataset.path)


def test_two_seeds_of_one_parent(clean: Dataset) -> None:
    a, b = noisy_dataset(clean), noisy_dataset(clean, seed=1, noise="symmetric", rate=0.2)
    found = compare(a, b)
    one, two, truth = labels(a), labels(b), labels(clean)
    assert found.differing_ids.tolist() == [i for i in range(200) if one[i] != two[i]]
    for i in range(4):
        for j in range(4):
            assert found.agreement[i, j] == sum(pair == (i, j) for pair in zip(one, two, strict=True))
    counts = found.against_clean()
    assert counts == {
        "both_right": sum(x == y == z for x, y, z in zip(one, two, truth, strict=True)),
        "only_a_wrong": sum(x != z and y == z for x, y, z in zip(one, two, truth, strict=True)),
        "only_b_wrong": sum(x == z and y != z for x, y, z in zip(one, two, truth, strict=True)),
        "both_wrong": sum(x != z and y != z for x, y, z in zip(one, two, truth, strict=True)),
        "both_wrong_alike": sum(x == y != z for x, y, z in zip(one, two, truth, strict=True)),
    }
    assert counts["only_a_wrong"] + counts["both_wrong"] == 80
    assert counts["only_b_wrong"] + counts["both_wrong"] == 40
    assert found.same_images_by == "one parent, clean"


@pytest.mark.parametrize("swap", [False, True])
def test_a_dataset_and_its_parent(clean: Dataset, swap: bool) -> None:
    noisy = noisy_dataset(clean)
    found = compare(noisy, clean) if swap else compare(clean, noisy)
    assert len(found.differing_ids) == 80
    counts = found.against_clean()
    assert counts is not None
    assert (counts["only_a_wrong"], counts["only_b_wrong"]) == ((80, 0) if swap else (0, 80))
    assert "parent" in found.same_images_by


def test_a_dataset_and_itself(clean: Dataset) -> None:
    found = compare(clean, clean)
    assert len(found.differing_ids) == 0
    assert found.agreement.trace() == 200
    assert not any("ids " in line for line in summary(found))


def test_pixels_decide_where_the_files_do_not_say(tmp_path: Path, clean: Dataset) -> None:
    """A copy with batch files cut otherwise, and other labels, still has the same images."""
    train = np.array(labels(clean))
    other = np.where(np.arange(200) < 30, (train + 1) % 4, train)
    source = made_up_source(other, np.arange(10) % 4, 4, (3, 8, 8))
    copy = convert_source(source, tmp_path / "copy", train_files=7, labels="unknown").dataset
    seen: list[tuple[int, int]] = []
    found = compare(clean, copy, lambda done, total: seen.append((done, total)))
    assert found.same_images_by == "every pixel compared"
    assert found.differing_ids.tolist() == list(range(30))
    assert seen[-1] == (210, 210)
    assert compare(copy, noisy_dataset(clean)).same_images_by == "every pixel compared"


def test_without_clean_labels_nobody_is_wrong(tmp_path: Path) -> None:
    found = compare(clean_dataset(tmp_path / "a", labels="unknown"), clean_dataset(tmp_path / "b", labels="unknown"))
    assert found.against_clean() is None
    assert found.facts()["against_clean"] is None
    assert not any("wrong" in line for line in summary(found))


def another(tmp_path: Path, **different: Any) -> Dataset:
    return clean_dataset(tmp_path / "other", **{"train": 200, "num_classes": 4, **different})


@pytest.mark.parametrize(
    ("different", "said"),
    [
        ({"shape": (1, 8, 8)}, "image shape 3x8x8 and 1x8x8"),
        ({"train": 199}, "number of train images 200 and 199"),
        ({"test": 11}, "number of test images 10 and 11"),
        ({"num_classes": 5}, "number of classes 4 and 5"),
        ({"seed": 1}, "train image 0 is not the same one"),
    ],
)
def test_datasets_that_do_not_belong_together(
    tmp_path: Path, clean: Dataset, different: dict[str, Any], said: str
) -> None:
    other = another(tmp_path, **different)
    with pytest.raises(DataToolsError, match=said) as caught:
        compare(clean, other)
    assert "\n" not in str(caught.value)


def test_other_class_names_are_refused(tmp_path: Path, clean: Dataset) -> None:
    other = edit(another(tmp_path), lambda value: value["class_names"].__setitem__(2, "cat"))
    with pytest.raises(DataToolsError, match="class 2 is 'class 2' and 'cat'"):
        compare(clean, other)


def test_other_parents_are_refused(tmp_path: Path, clean: Dataset) -> None:
    a, b = noisy_dataset(clean), noisy_dataset(another(tmp_path, seed=1))
    with pytest.raises(DataToolsError, match=r"made from other parents, clean .* and other "):
        compare(a, b)


def test_one_pixel_that_differs_is_found(tmp_path: Path, clean: Dataset) -> None:
    other = another(tmp_path)
    batch = other.path / "data_batch_3.bin"
    data = bytearray(batch.read_bytes())
    data[-1] ^= 1
    batch.write_bytes(data)
    edit(other, lambda value: value.__setitem__("limit", 200))
    with pytest.raises(DataToolsError, match="train image 199 is not the same one"):
        compare(clean, open_dataset(other.path))


def test_manifests_that_disagree_are_refused(clean: Dataset) -> None:
    import h5py

    a, b = noisy_dataset(clean), noisy_dataset(clean, seed=1)
    with h5py.File(b.manifest_path, "r+") as file:
        file["clean_label"][7] = (file["clean_label"][7] + 1) % 4
    with pytest.raises(DataToolsError, match="clean labels differ at 1 ids, first at 7"):
        compare(a, b)


def test_replaced_images_are_other_images(clean: Dataset) -> None:
    from dataclasses import replace

    from datatools.format.manifest import read_manifest, write_manifest

    a, b = noisy_dataset(clean), noisy_dataset(clean, seed=1)
    manifest = replace(read_manifest(b.manifest_path, 200, 4), replaced_by=np.full(200, -1))
    b.manifest_path.unlink()
    write_manifest(b.manifest_path, manifest)
    assert compare(a, b).same_images_by == "every pixel compared"  # one parent is no longer enough


@pytest.mark.parametrize("fault", ["cut", "no manifest", "id"])
def test_a_broken_dataset_is_said(clean: Dataset, fault: str) -> None:
    a, b = noisy_dataset(clean), noisy_dataset(clean, seed=1)
    if fault == "no manifest":
        b.manifest_path.unlink()
    else:
        data = (b.path / "data_batch_1.bin").read_bytes()
        (b.path / "data_batch_1.bin").write_bytes(data[:-1] if fault == "cut" else b"\0\0\0\7" + data[4:])
    with pytest.raises(DataToolsError, match=b.path.name) as caught:
        compare(a, b)
    assert "\n" not in str(caught.value)


def test_the_summary_shows_a_small_matrix_whole(clean: Dataset) -> None:
    found = compare(noisy_dataset(clean), noisy_dataset(clean, seed=1))
    lines = summary(found)
    table = [line.split() for line in lines[-4:]]
    assert [[int(cell) for cell in row[-4:]] for row in table] == found.agreement.tolist()


def test_the_summary_shows_the_most_frequent_differences_of_many_classes(tmp_path: Path) -> None:
    made = clean_dataset(tmp_path / "many", train=300, num_classes=20)
    found = compare(made, noisy_dataset(made, rate=0.2))
    lines = summary(found)
    start = lines.index("most frequent differences:")
    assert len(lines) - start == 11
    assert lines[start + 1].endswith("class 0 in A, class 1 in B")
    assert compare(made, made).agreement.shape == (20, 20)
    assert "most frequent differences:" not in summary(compare(made, made))


def test_the_facts_are_json_with_every_id(clean: Dataset) -> None:
    found = compare(clean, noisy_dataset(clean))
    facts = json.loads(json.dumps(found.facts()))
    assert facts["differing"] == len(facts["differing_ids"]) == 80
    assert facts["differing_share"] == 0.4
    assert np.sum(facts["agreement"]) == 200
    assert facts["a"]["sha256"] == clean.sha256


def test_the_picture_counts(tmp_path: Path, clean: Dataset) -> None:
    found: Comparison = compare(clean, noisy_dataset(clean))
    plot_agreement(found, tmp_path / "out.svg")
    text = (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert "<!-- 80 of 200 labels differ -->" in text
    assert text.count("<!-- 30 -->") == 4
    assert text.count("<!-- 20 -->") == 4
    shutil.copy(tmp_path / "out.svg", tmp_path / "kept.svg")
    plot_agreement(found, tmp_path / "out.svg", overwrite=True)
    assert (tmp_path / "out.svg").read_bytes() == (tmp_path / "kept.svg").read_bytes()
