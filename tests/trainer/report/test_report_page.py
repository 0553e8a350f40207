"""The page and the files beside it: whole, escaped, the same each time, and nothing left behind."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import trainer
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import DATASET_FILE
from tests.support import tiny
from tests.support.factories import tree
from tests.support.report_runs import made_run
from trainer.report import collect, write_report
from trainer.report.markup import relative_link
from trainer.report.matrices import Datasets, transitions

HOSTILE = "</script></style><img src=x onerror=alert(1)>&amp;\"'"
VOID = {"meta", "input", "br", "img", "link", "wbr"}


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: Path) -> Elements:
    elements = Elements()
    elements.feed(page.read_text(encoding="utf-8"))
    assert elements.open == []
    return elements


def made_data(folder: Path) -> Dataset:
    """Twelve samples of three classes, a quarter of them with the next class's label."""
    ids, clean, pixels = tiny.examples(12)
    noisy = np.where(ids % 4 == 0, (clean + 1) % 3, clean)
    return tiny.write_dataset(
        folder / "data", (ids, noisy, pixels), tiny.examples(6), labels="noisy", clean_labels=clean
    )


def made_runs(folder: Path, data: Dataset) -> Path:
    for seed in (0, 1):
        made_run(folder / "runs" / f"default{seed}", "default", seed, [0.5, 0.3 + seed / 50], data=data)
        made_run(folder / "runs" / f"selfie{seed}", "selfie", seed, [0.5, 0.2, 0.4, 0.1], data=data, epochs=2)
    return folder / "runs"


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return made_data(tmp_path)


@pytest.fixture
def runs(tmp_path: Path, data: Dataset) -> Path:
    return made_runs(tmp_path, data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A report of two methods, made once and only read; and the names of its files."""
    folder = tmp_path_factory.mktemp("report")
    runs = made_runs(folder, made_data(folder))
    return folder / "out", write_report(*collect([runs]), folder / "out")


def rename_classes(data: Dataset, names: list[str]) -> Dataset:
    file = data.path / DATASET_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "class_names": names}))
    return open_dataset(data.path)


def test_every_file_is_there_and_named(finished: tuple[Path, list[str]]) -> None:
    out, files = finished
    assert set(tree(out)) == {*files, "figures"}
    assert json.loads((out / "report.json").read_text())["files"] == files[1:]
    links = {attributes.get("href") for tag, attributes in parsed(out / "report.html").found if tag == "a"}
    assert {name for name in files[1:] if "/" not in name} <= links
    for name in files:
        if name.endswith(".svg"):
            assert (out / name).with_suffix(".png").is_file()


def test_the_same_runs_give_the_same_bytes(finished: tuple[Path, list[str]]) -> None:
    out, _ = finished
    write_report(*collect([out.parent / "runs"]), out.with_name("again"))
    assert tree(out.with_name("again")) == tree(out)


def test_the_page_loads_nothing_and_runs_nothing(finished: tuple[Path, list[str]]) -> None:
    page = parsed(finished[0] / "report.html")
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.found}
    for _, attributes in page.found:
        assert not any(name.startswith("on") or name in ("src", "srcset", "data", "action") for name in attributes)
    text = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text


def test_all_three_figures_are_there_without_a_script(finished: tuple[Path, list[str]]) -> None:
    page = parsed(finished[0] / "report.html")
    blocks = [attributes["class"] for tag, attributes in page.found if "headline" in (attributes.get("class") or "")]
    assert blocks == ["headline best_test_error", "headline last_test_error", "headline mean_last10_test_error"]
    for tag, attributes in page.found:
        if attributes.get("role") == "img":
            assert tag == "svg"
            assert len(attributes["aria-label"] or "") > 40


def test_the_data_have_mean_deviation_and_every_epoch(finished: tuple[Path, list[str]]) -> None:
    with (finished[0] / "groups.csv").open() as file:
        default, selfie = csv.DictReader(file)
    assert float(default["best_test_error_mean"]) == pytest.approx(0.31)
    assert float(default["best_test_error_deviation"]) == pytest.approx(0.02 / 2**0.5)
    assert (default["refurbishment_accuracy_mean"], selfie["refurbishment_accuracy_mean"]) == ("", "0.9")
    assert default["paper_best_test_error"] == ""
    with (finished[0] / "curves.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "selfie" and row["seed"] == "1"]
    assert [(row["epoch_in_all"], row["test_error"]) for row in rows] == [
        ("1", "0.5"),
        ("2", "0.2"),
        ("3", "0.4"),
        ("4", "0.1"),
    ]
    (panel,) = json.loads((finished[0] / "report.json").read_text())["panels"]
    assert [point["seeds"] for point in panel["points"] if point["method"] == "default"] == [[0, 1]]


@pytest.mark.filterwarnings("error")
def test_odd_runs_are_drawn_too(tmp_path: Path) -> None:
    """One epoch, errors of 0 and of 1, noise without a rate, fields of other formats, names that matplotlib hides."""
    human = {"type": "human", "rate": None, "realised_rate": 0.17, "column": "worse", "parent": {"name": "cifar10"}}
    matrix = {"type": "matrix", "rate": None, "parent": {"name": "m"}}
    made_run(tmp_path / "a", "default", 0, [0.0])
    made_run(tmp_path / "b", "_hidden", 0, [1.0], noise=human)
    made_run(
        tmp_path / "c", "selfie", 0, [0.3], noise=None, noise_rate=0.08, noise_rate_from="--noise-rate", name="own"
    )
    made_run(tmp_path / "d", "selfie", 0, [0.3, 0.2], noise=matrix, versions=[1], device=None, method_settings=[1])
    found, left_out = collect([tmp_path])
    assert left_out == []
    write_report(found, left_out, tmp_path / "out")
    text = parsed(tmp_path / "out" / "report.html").text
    assert "own, its own labels" in text
    assert "noise rate of these runs is not known" in text


def test_names_from_files_stay_text(tmp_path: Path, data: Dataset) -> None:
    def hostile(where: str) -> str:
        return HOSTILE.replace("alert", where)

    renamed = rename_classes(data, [hostile("class"), "b", "c"])
    noise = {"type": "pair", "rate": 0.4, "parent": {"name": hostile("dataset")}}
    directory = tmp_path / "runs" / hostile("directory").replace("/", "")
    made_run(directory, "selfie", 0, [0.5, 0.2], data=renamed, versions={hostile("package"): hostile("version")})
    made_run(tmp_path / "runs" / "b", hostile("method"), 0, [0.5], noise=noise, network=hostile("network"))
    made_run(tmp_path / "runs" / "$x$ {y} %s", "default", 0, [0.5], device="$title ${body}")
    unfinished = made_run(tmp_path / "runs" / hostile("unfinished").replace("/", ""), "default", 0, [0.5])
    (unfinished / "result.json").unlink()
    files = write_report(*collect([tmp_path / "runs"]), tmp_path / "out")
    page = parsed(tmp_path / "out" / "report.html")
    assert not {"script", "img"} & {tag for tag, _ in page.found}
    assert page.found.count(("style", {})) == 1
    for where in ("class", "dataset", "method", "network", "package", "version"):
        assert hostile(where) in page.text, where
    for where in ("directory", "unfinished"):
        assert hostile(where).replace("/", "") in page.text, where
    assert "$title ${body}" in page.text
    assert all(re.fullmatch(r"(figures/)?[a-z0-9][a-z0-9.-]*", name) for name in files)


@pytest.mark.parametrize("path", ["javascript:alert(1)", "a b/é", "../runs/x", "/runs/x", "//host/x?y#z"])
def test_a_link_has_no_scheme(path: str) -> None:
    link = relative_link(path)
    assert re.fullmatch(r"[./][A-Za-z0-9%./_~-]*", link)


def test_what_is_left_out_is_said_on_page_and_in_json(runs: Path, data: Dataset, tmp_path: Path) -> None:
    (runs / "default1" / "metrics.csv").write_text("damaged")
    _no_dataset(data, runs)
    done = CliRunner().invoke(trainer, ["report", str(runs), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "default1: cannot be read" in done.stderr
    text = parsed(tmp_path / "out" / "report.html").text
    assert "default1: cannot be read" in text
    assert "Runs without matrices: 3" in text
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["left_out"]) == 1


def test_no_usable_run_is_one_line_and_writes_nothing(runs: Path, tmp_path: Path) -> None:
    for file in runs.glob("*/result.json"):
        file.unlink()
    done = CliRunner().invoke(trainer, ["report", str(runs), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "not finished" in done.stderr
    assert not (tmp_path / "out").exists()


def test_figures_of_an_earlier_report_go_and_other_files_stay(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = write_report(*collect([runs]), out)
    (out / "figures" / "mine.png").write_bytes(b"mine")
    second = write_report(*collect([runs / "default0"]), out)
    assert set(first) - set(second)
    assert set(tree(out)) == {*second, "figures", "figures/mine.png"}


def test_matrices_before_and_after(finished: tuple[Path, list[str]]) -> None:
    found = [run for run in collect([finished[0].parent / "runs"])[0] if run.group.method == "selfie"]
    own, notes = transitions(found, Datasets())
    assert notes == []
    assert own is not None
    assert own.after is not None
    # ids 0, 4, 8 carry the next class's label; all three are even, so each has its clean label back
    assert own.before.tolist() == [[6, 2, 0], [0, 6, 2], [2, 0, 6]]
    assert own.after.tolist() == [[8, 0, 0], [0, 8, 0], [0, 0, 8]]
    with (finished[0] / "matrices.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "selfie"]
    assert sum(int(row["samples"]) for row in rows if row["matrix"] == "before") == 24


def _another_dataset(data: Dataset, run: Path) -> None:
    rename_classes(data, ["x", "y", "z"])


def _no_dataset(data: Dataset, run: Path) -> None:
    data.path.rename(data.path.with_name("elsewhere"))


def _no_samples(data: Dataset, run: Path) -> None:
    (run / "samples.h5").write_bytes(b"")


def _no_manifest(data: Dataset, run: Path) -> None:
    data.manifest_path.unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_another_dataset, "another SHA-256"),
        (_no_dataset, "not there any more"),
        (_no_samples, "samples.h5 cannot be read"),
        (_no_manifest, "no manifest"),
    ],
)
def test_matrices_that_cannot_be_had_are_left_out_with_the_reason(
    runs: Path, data: Dataset, spoil: Callable[[Dataset, Path], None], reason: str
) -> None:
    spoil(data, runs / "selfie0")
    own, notes = transitions(collect([runs / "selfie0"])[0], Datasets())
    assert own is None
    assert [reason in note for note in notes] == [True]


def test_wide_tables_scroll_in_a_box_with_a_sign(finished: tuple[Path, list[str]]) -> None:
    text = (finished[0] / "report.html").read_text(encoding="utf-8")
    boxes = re.findall(
        r'<div class="scroll" role="region" aria-label="[^"]+" tabindex="0"><table>.*?</table></div>', text
    )
    assert len(boxes) == 2
    # what is outside of a box has few columns
    for table in re.findall(r"<table.*?</table>", text):
        assert table in "".join(boxes) or table.count('scope="col"') <= 3
    # the first column of a line is its method, so that it is what stays
    for line in re.findall(r"<tr>.*?</tr>", "".join(boxes)):
        assert re.match(r'<tr><th (class="noise" colspan="\d" )?scope="(col|row|rowgroup)"', line), line
    style = text[text.index("<style>") : text.index("</style>")]
    assert re.search(r"\.scroll tr > :first-child:not\(\.noise\)[^{]*\{ position: sticky; left: 0; \}", style)
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto[^}]*local[^}]*scroll", style)


def test_file_names_of_the_page_break_at_sensible_places(finished: tuple[Path, list[str]]) -> None:
    text = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert text.count("<wbr>") == len(re.findall(r'[/-]<wbr>[^\s/-]|\w<wbr><span class="ending">\.', text)) > 10
    for name in ("results", "report", "curves"):
        assert re.search(rf'>(\w+-<wbr>)?{name}<wbr><span class="ending">\.\w+</span></a>', text), name
    assert ".ending { white-space: nowrap; }" in text


def test_many_classes_are_ranked_and_the_rest_is_said_to_be_in_files(tmp_path: Path) -> None:
    ids, clean, pixels = tiny.examples(150, num_classes=50)
    noisy = np.where(ids % 3 == 0, (clean + 1) % 50, clean)
    data = tiny.write_dataset(
        tmp_path / "data",
        (ids, noisy, pixels),
        tiny.examples(50, num_classes=50),
        num_classes=50,
        labels="noisy",
        clean_labels=clean,
    )
    made_run(tmp_path / "runs" / "selfie", "selfie", 0, [0.5, 0.2], data=data)
    files = write_report(*collect([tmp_path / "runs"]), tmp_path / "out")
    page = parsed(tmp_path / "out" / "report.html")
    tables = [
        attributes for tag, attributes in page.found if tag == "table" and attributes.get("class") == "confusions"
    ]
    assert len(tables) == 3
    assert "class 3 → class 4" in page.text
    assert "only the 20 largest wrong shares are shown. The whole matrices are in matrices.csv." in page.text
    assert "Each run's whole matrix is in its result.json" in page.text
    assert [name for name in files if "transitions" in name and name.endswith(".svg")]
    with (tmp_path / "out" / "matrices.csv").open() as file:
        assert sum(int(row["samples"]) for row in csv.DictReader(file) if row["matrix"] == "before") == 150
