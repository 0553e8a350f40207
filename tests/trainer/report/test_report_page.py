"""The page: self-contained, escaped, and whole for odd runs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import trainer
from datatools.format.dataset import Dataset
from tests.support import tiny
from tests.support.report_page import parsed
from tests.support.report_runs import made_run, rename_classes
from trainer.report import collect, write_report
from trainer.report.markup import relative_link

HOSTILE = "</script></style><img src=x onerror=alert(1)>&amp;\"'"


def test_the_page_loads_nothing_and_runs_nothing(finished: tuple[Path, list[str]]) -> None:
    page = parsed(finished[0] / "report.html")
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("src", "srcset", "data", "action") for name in attributes)
    text = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text


def test_all_three_figures_are_there_without_a_script(finished: tuple[Path, list[str]]) -> None:
    page = parsed(finished[0] / "report.html")
    blocks = [attributes["class"] for tag, attributes in page.tags if "headline" in (attributes.get("class") or "")]
    assert blocks == ["headline last_test_error", "headline mean_last10_test_error", "headline best_test_error"]
    for tag, attributes in page.tags:
        if attributes.get("role") == "img":
            assert tag == "svg"
            assert len(attributes["aria-label"] or "") > 40


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
    collected, left_out = collect([tmp_path])
    assert left_out == []
    write_report(collected, left_out, tmp_path / "out")
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
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.tags.count(("style", {})) == 1
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
    data.path.rename(data.path.with_name("elsewhere"))
    done = CliRunner().invoke(trainer, ["report", str(runs), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "default1: cannot be read" in done.stderr
    text = parsed(tmp_path / "out" / "report.html").text
    assert "default1: cannot be read" in text
    assert "Runs without matrices: 3" in text
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["left_out"]) == 1


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
        assert re.match(r'<tr><th (class="noise" colspan="\d+" )?scope="(col|row|rowgroup)"', line), line
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
    tables = [attributes for tag, attributes in page.tags if tag == "table" and attributes.get("class") == "confusions"]
    assert len(tables) == 3
    assert "class 3 → class 4" in page.text
    assert "only the 20 largest wrong shares are shown. The whole matrices are in matrices.csv." in page.text
    assert "Each run's whole matrix is in its result.json" in page.text
    assert [name for name in files if "transitions" in name and name.endswith(".svg")]
    with (tmp_path / "out" / "matrices.csv").open() as file:
        assert sum(int(row["samples"]) for row in csv.DictReader(file) if row["matrix"] == "before") == 150
