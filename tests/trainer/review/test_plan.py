"""Where each file goes: a function of the decisions alone, and no two files to one place."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.reviewed import audited, decided, photos
from trainer.errors import TrainerError
from trainer.review.items import Audit, Sample
from trainer.review.plan import Placement, plan


def planned(audit: Audit, outcomes: dict[str, str]) -> dict[str, Placement]:
    """Placements by the file's path."""
    decisions = {made.sample.key: made for made in decided(audit, outcomes)}
    return {placement.source: placement for placement in plan(audit, decisions)}


def targets(audit: Audit, outcomes: dict[str, str]) -> dict[str, str | None]:
    return {path: placement.target for path, placement in planned(audit, outcomes).items()}


def of_paths(*paths: str, split: str = "train", depth: int = 0) -> Audit:
    samples = tuple(
        Sample(split, number, path, 1, f"{number:064x}", path.split("/")[depth]) for number, path in enumerate(paths)
    )
    return Audit(tuple(sorted({sample.given for sample in samples})), samples, folder=Path("/photos"))


def test_a_file_keeps_its_path_below_its_class(audit: Audit) -> None:
    placed = planned(audit, {"cat/tour/1.jpg": "owl", "cat/1.jpg": "keep", "cat/2.jpg": "remove"})
    assert placed["cat/tour/1.jpg"].target == "owl/tour/1.jpg"
    assert placed["cat/1.jpg"].target == "cat/1.jpg"
    assert placed["cat/2.jpg"].target is None
    assert placed["dog/1.jpg"].target == "dog/1.jpg"
    assert [placed[path].outcome for path in ("cat/tour/1.jpg", "cat/1.jpg", "cat/2.jpg", "dog/1.jpg")] == [
        "change",
        "keep",
        "remove",
        "undecided",
    ]
    assert [placement.source for placement in placed.values()] == [sample.path for sample in audit.samples]


def test_splits_stay(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/dog/2.jpg"))
    audit = audited(folder, class_of=1)
    assert targets(audit, {"train/cat/1.jpg": "dog", "test/cat/1.jpg": "dog"}) == {
        "test/cat/1.jpg": "test/dog/1.jpg",
        "test/dog/2.jpg": "test/dog/2.jpg",
        "train/cat/1.jpg": "train/dog/1-2.jpg",
        "train/dog/1.jpg": "train/dog/1.jpg",
    }


def test_a_class_may_be_called_as_a_split() -> None:
    audit = of_paths("train/1.jpg", "cat/1.jpg")
    assert targets(audit, {"train/1.jpg": "cat"})["train/1.jpg"] == "cat/1-2.jpg"


def test_names_that_are_taken_get_a_number_in_order_of_id() -> None:
    audit = of_paths("a/x.jpg", "b/x.jpg", "c/X.JPG", "d/x.jpg", "a/x-2.jpg")
    placed = planned(audit, {"b/x.jpg": "a", "c/X.JPG": "a", "d/x.jpg": "a"})
    expected = ["a/x-3.jpg", "a/X-4.JPG", "a/x-5.jpg"]
    assert [placed[path].target for path in ("b/x.jpg", "c/X.JPG", "d/x.jpg")] == expected
    assert all(placed[path].renamed for path in ("b/x.jpg", "c/X.JPG", "d/x.jpg"))
    backwards = replace(audit, samples=audit.samples[::-1])
    assert planned(backwards, {"d/x.jpg": "a", "c/X.JPG": "a", "b/x.jpg": "a"}) == placed


def test_a_removed_file_and_one_that_changes_free_their_names() -> None:
    audit = of_paths("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    assert targets(audit, {"a/1.jpg": "remove", "a/2.jpg": "b", "b/1.jpg": "a", "b/2.jpg": "a"}) == {
        "a/1.jpg": None,
        "a/2.jpg": "b/2.jpg",
        "b/1.jpg": "a/1.jpg",
        "b/2.jpg": "a/2.jpg",
    }


def test_a_file_does_not_take_the_place_of_a_folder_nor_a_folder_that_of_a_file() -> None:
    audit = of_paths("a/x.jpg/1.jpg", "b/x.jpg", "c/y.jpg", "b/y.jpg/1.jpg", "d/z.jpg")
    assert targets(audit, {"b/x.jpg": "a", "b/y.jpg/1.jpg": "c"}) == {
        "a/x.jpg/1.jpg": "a/x.jpg/1.jpg",
        "b/x.jpg": "a/x-2.jpg",
        "c/y.jpg": "c/y.jpg",
        "b/y.jpg/1.jpg": "c/y-2.jpg/1.jpg",
        "d/z.jpg": "d/z.jpg",
    }


def test_a_numbered_name_is_no_longer_than_file_systems_allow() -> None:
    name = "é" * 125 + ".jpg"
    audit = of_paths(f"a/{name}", f"b/{name}")
    target = targets(audit, {f"b/{name}": "a"})[f"b/{name}"]
    assert target is not None
    assert target.endswith("é-2.jpg")
    assert 250 < len(target.removeprefix("a/").encode()) <= 255


def test_a_file_outside_its_class_is_refused() -> None:
    audit = of_paths("a/1.jpg", "b/1.jpg")
    odd = replace(audit, samples=(audit.samples[0], replace(audit.samples[1], given="a")))
    with pytest.raises(TrainerError, match=r"b/1.jpg: does not lie in the folder of its class, 'a'"):
        plan(odd, {})


FILES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x.jpg", "X.jpg", "x-2.jpg", "x-2-2.jpg", "x.jpg/x.jpg"])),
    unique=True,
    min_size=1,
)


@given(FILES, st.randoms())
def test_no_two_files_go_to_one_place(files: list[tuple[str, str]], random: object) -> None:
    names = [f"{label}/{name}" for label, name in files]
    names = [name for name in names if f"{name}/x.jpg" not in names]
    audit = of_paths(*names)
    choose = random.choice  # type: ignore[attr-defined]
    outcomes = {name: choose([label for label in ("a", "b", "c", "remove") if label != name[0]]) for name in names[::2]}
    placed = planned(audit, outcomes)
    known = set(audit.class_names) | {"a", "b", "c"}
    kept = {p.target for p in placed.values() if p.outcome != "change" and p.target}
    for path, placement in placed.items():
        if placement.outcome != "change":
            assert placement.target in (path, None)
            continue
        assert placement.target is not None
        assert placement.target.partition("/")[0] == placement.label
        assert placement.label in known
    changed = [p.target for p in placed.values() if p.outcome == "change" and p.target]
    folded = [unicodedata.normalize("NFD", target).casefold() for target in changed]
    everything = folded + [target.casefold() for target in kept]
    assert len(set(folded)) == len(folded)
    assert not set(folded) & {target.casefold() for target in kept}
    for target in folded:
        assert not [other for other in everything if other.startswith(f"{target}/") or target.startswith(f"{other}/")]
