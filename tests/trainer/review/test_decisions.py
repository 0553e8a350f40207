"""decisions.csv: what is written is read back, also after a spreadsheet, and what is no decision is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.reviewed import decided
from trainer.errors import TrainerError
from trainer.review.decisions import Decision, decisions_text, read_decisions, write_decisions
from trainer.review.items import Audit, Sample

SOME = {"cat/1.jpg": "keep", "cat/2.jpg": "dog", "dog/1.jpg": "remove", "owl/1.png": "cat"}
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "decisions.csv"
    path.write_bytes(text.encode())
    return path


def test_decisions_come_back(audit: Audit, tmp_path: Path) -> None:
    decisions = decided(audit, SOME)
    write_decisions(tmp_path / "decisions.csv", audit.audit_id, decisions)
    assert list(read_decisions(tmp_path / "decisions.csv", audit).values()) == decisions


@given(st.lists(NAMES, min_size=2, max_size=5, unique=True))
def test_whatever_classes_are_called_they_come_back(tmp_path: Path, names: list[str]) -> None:
    samples = tuple(Sample("train", number, None, None, None, name) for number, name in enumerate(names))
    audit = Audit(tuple(names), samples, dataset=tmp_path, dataset_sha256="0" * 64)
    decisions = [Decision(sample, "change", names[number - 1]) for number, sample in enumerate(samples)]
    path = written(tmp_path, decisions_text(audit.audit_id, decisions))
    assert list(read_decisions(path, audit).values()) == decisions


def test_no_cell_is_a_formula(audit: Audit) -> None:
    (decision,) = decided(audit, {"cat/1.jpg": "=HYPERLINK(1)"})
    (row,) = csv.DictReader(io.StringIO(decisions_text(audit.audit_id, [decision])))
    assert row["label"] == "'=HYPERLINK(1)"


def _by_spreadsheet(text: str, delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> str:
    """As a spreadsheet saves it: a byte order mark, CRLF, a delimiter of its own, and an empty row."""
    file = io.StringIO()
    rows = list(csv.reader(io.StringIO(text)))
    csv.writer(file, delimiter=delimiter, quoting=quoting).writerows([*rows, [""] * len(rows[0])])  # type: ignore[arg-type]
    return "\ufeff" + file.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_spreadsheet_may_have_saved_it(audit: Audit, tmp_path: Path, delimiter: str, quoting: int) -> None:
    decisions = decided(audit, SOME)
    text = _by_spreadsheet(decisions_text(audit.audit_id, decisions), delimiter, quoting)
    assert list(read_decisions(written(tmp_path, text), audit).values()) == decisions


def test_every_cut_but_between_rows_is_noticed(audit: Audit, tmp_path: Path) -> None:
    text = decisions_text(audit.audit_id, decided(audit, SOME))
    for length in range(0, len(text), 7):
        if text[length - 1] == "\n":
            continue  # whole rows, each of them right
        with pytest.raises(TrainerError, match=r"cut short|row 1: columns"):
            read_decisions(written(tmp_path, text[:length]), audit)


def test_new_classes_are_asked_for(audit: Audit, tmp_path: Path) -> None:
    path = written(tmp_path, decisions_text(audit.audit_id, decided(audit, {"cat/1.jpg": "fox"})))
    with pytest.raises(TrainerError, match=r"row 2: no class 'fox' \(cat, dog, owl\).*--new-classes"):
        read_decisions(path, audit)
    (made,) = read_decisions(path, audit, new_classes=True).values()
    assert made.label == "fox"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "train", "test", " fox", "a\nb", "x" * 256])
def test_a_new_class_is_the_name_of_a_folder(audit: Audit, tmp_path: Path, name: str) -> None:
    path = written(tmp_path, decisions_text(audit.audit_id, decided(audit, {"cat/1.jpg": name})))
    with pytest.raises(TrainerError, match=r"row 2: .* cannot name a folder of images"):
        read_decisions(path, audit, new_classes=True)


@pytest.mark.parametrize("names", [("Cat", "Cat"), ("fox", "Fox")])
def test_classes_that_differ_in_case_alone_are_a_slip(audit: Audit, tmp_path: Path, names: tuple[str, str]) -> None:
    decisions = decided(audit, {"dog/1.jpg": names[0], "dog/2.jpg": names[1]})
    path = written(tmp_path, decisions_text(audit.audit_id, decisions))
    with pytest.raises(TrainerError, match="differ in case alone"):
        read_decisions(path, audit, new_classes=True)


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def _other_audit(text: str) -> str:
    head, _, rows = text.partition("\n")
    return f"{head}\n{'f' * 64}{rows[64:]}"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (_replaced("audit,split", "audit,part"), "row 1: columns audit, split"),
        (lambda text: "", "row 1: columns"),
        (lambda text: text + text.splitlines()[2] + "\n", "row 6: decides cat/2.jpg again, after row 3"),
        (
            lambda text: "\n".join([text.partition("\n")[0], "f" * 64 + text.partition("\n")[2][64:]]),
            "row 2: of another audit",
        ),
        (_replaced("train,0,", "train,999,"), "row 2: no sample 'train' '999'"),
        (_replaced("train,0,", "train,-1,"), "row 2: no sample 'train' '-1'"),
        (_replaced("train,0,", "train,²,"), "row 2: no sample 'train' '²'"),
        (_replaced("train,0,", "test,0,"), "row 2: no sample 'test' '0'"),
        (_replaced("cat/1.jpg", "cat/2.jpg"), "row 2: path of cat/1.jpg is 'cat/2.jpg'"),
        (_replaced(",cat,change", ",owl,change"), "row 3: given of cat/2.jpg is 'owl', the audit has 'cat'"),
        (_replaced("change,dog", "change,"), "row 3: change to ''"),
        (_replaced("change,dog", "change,cat"), "row 3: change to 'cat'; another class than 'cat'"),
        (_replaced("change,dog", "change,dogs"), "row 3: no class 'dogs'"),
        (_replaced("change,dog", ",dog"), "row 3: decision ''"),
        (_replaced("change,dog", "keep,dog"), "row 3: keep, with label 'dog'"),
        (_replaced("remove,", "remove,owl"), "row 4: remove, with label 'owl'"),
        (_replaced("change,dog", "change,dog,more"), "row 3: 9 cells, 8 are expected"),
        (_replaced("change,dog\n", "change\n"), "row 3: 7 cells, 8 are expected"),
        (_replaced("change,dog", 'change,"dog'), "unexpected end of data"),
    ],
)
def test_a_row_that_is_no_decision_is_refused_in_one_line(
    audit: Audit, tmp_path: Path, change: Callable[[str], str], part: str
) -> None:
    path = written(tmp_path, change(decisions_text(audit.audit_id, decided(audit, SOME))))
    with pytest.raises(TrainerError) as caught:
        read_decisions(path, audit)
    assert part in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_other_encodings_are_refused(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_bytes("audit,\xe9\n".encode("latin-1"))
    with pytest.raises(TrainerError, match="not UTF-8"):
        read_decisions(path, audit)
    with pytest.raises(Exception, match="no such file"):
        read_decisions(tmp_path / "none.csv", audit)
