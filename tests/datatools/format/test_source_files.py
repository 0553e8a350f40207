"""files.csv: the file behind each id, and whether it is still what it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import DATASET_FILE
from tests.support.factories import clean_dataset
from tests.support.official_files import image_folder_set, write_image_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "source", image_folder_set())


def forged(dataset: Dataset, text: str) -> Dataset:
    """The dataset with another files.csv, and a dataset.json that vouches for it."""
    dataset.files_csv_path.write_text(text, encoding="utf-8")
    content = json.loads((dataset.path / DATASET_FILE).read_text())
    content["files_csv"] = hashlib.sha256(text.encode()).hexdigest()
    (dataset.path / DATASET_FILE).write_text(json.dumps(content))
    return open_dataset(dataset.path)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_id_knows_its_file(tmp_path: Path, source: Path, workers: int) -> None:
    made = convert("image-folder", source=source, out=tmp_path / "out", workers=workers).dataset
    for dataset in (made, corrupt(made, noise="pair", rate=0.25, out=tmp_path / "noisy").dataset):
        for split in ("train", "test"):
            files = dataset.files(split)
            assert files is not None
            assert [file.path for file in files] == sorted(
                str(path.relative_to(source)) for path in (source / split).rglob("*.png")
            )
            for file in files:
                content = (source / file.path).read_bytes()
                assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
                assert file.state(source) == "unchanged"


def test_a_changed_and_a_missing_file_are_noticed(tmp_path: Path, source: Path) -> None:
    files = convert("image-folder", source=source, out=tmp_path / "out").dataset.files()
    assert files is not None
    path = source / files[2].path
    path.write_bytes(path.read_bytes()[:-1] + b"x")  # as many bytes as before
    (source / files[3].path).unlink()
    assert [file.state(source) for file in files[1:5]] == ["unchanged", "changed", "missing", "unchanged"]
    assert files[0].state(tmp_path) == "missing"


def test_other_sets_have_no_files(tmp_path: Path) -> None:
    assert clean_dataset(tmp_path / "out", train=4, test=4).files() is None


def test_a_list_of_version_0_1_has_no_digests(tmp_path: Path, source: Path) -> None:
    made = convert("image-folder", source=source, out=tmp_path / "out").dataset
    rows = [",".join(line.split(",")[:3]) for line in made.files_csv_path.read_text().splitlines()]
    files = forged(made, "\n".join(rows) + "\n").files()
    assert files is not None
    assert {(file.size, file.sha256, file.state(source)) for file in files} == {(None, None, "unknown")}


def test_a_list_that_changed_is_refused(tmp_path: Path, source: Path) -> None:
    made = convert("image-folder", source=source, out=tmp_path / "out").dataset
    made.files_csv_path.write_text("id,split,path\n")
    with pytest.raises(DataToolsError, match="changed since the dataset was made"):
        made.files()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,split,path\n0,train,../secret\n", "leads elsewhere"),
        ("id,split,path\n0,train,/etc/passwd\n", "leads elsewhere"),
        ("id,split,path\n0,train,a/./b\n", "leads elsewhere"),
        ("id,split,path\n1,train,a\n", "id 1 where 0 is expected"),
        ("id,split,path\nx,train,a\n", "not a files.csv"),
        ("id,split,path,bytes,sha256\n0,train,a,many,0\n", "not a files.csv"),
        ("id,split,path\n0,train\n", "not a files.csv"),
        ("id,split\n0,train\n", "no column 'path'"),
        ("id,split,path\n0,train,a\n", "1 train files, the dataset has 12 records"),
    ],
)
def test_a_forged_list_is_one_line(tmp_path: Path, source: Path, text: str, said: str) -> None:
    made = forged(convert("image-folder", source=source, out=tmp_path / "out").dataset, text)
    with pytest.raises(DataToolsError, match=said) as caught:
        made.files()
    assert "\n" not in str(caught.value)
