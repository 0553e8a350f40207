"""`relabel`: a run directory -> a folder with suspects.csv, pictures, the corrected dataset and relabel.json.

The folder appears whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datatools.contact_sheet import MODES, Tile, draw_tiles
from datatools.files.output import FolderKind, atomic_folder, check_folder
from datatools.format.building import check_apart
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import package_version
from trainer.audit.against_truth import compare
from trainer.audit.corrected import file_paths, write_corrected
from trainer.audit.evidence import Evidence, read_evidence
from trainer.audit.page import card, render
from trainer.audit.scoring import BY_CONFIDENT_JOINT, Verdict, judge
from trainer.audit.suspects import SUSPECTS_FILE, write_suspects
from trainer.errors import TrainerError

FORMAT_VERSION = 1
SHEET_FILE, PAGE_FILE, REPORT_FILE = "suspects.png", "page.html", "relabel.json"
DATASET_FOLDER = "dataset"
CONTENT = frozenset({SUSPECTS_FILE, SHEET_FILE, PAGE_FILE, REPORT_FILE, DATASET_FOLDER})
TRUTH_FIGURES = (
    "precision",
    "recall",
    "average_precision",
    "suggestion_accuracy",
    "wrong_rate_before",
    "wrong_rate_after",
)


@dataclass(frozen=True)
class Relabelled:
    """What `relabel` made.

    Attributes:
        report: the content of relabel.json. dataset: the corrected one. notices: what the user should know,
            a line each.
    """

    directory: Path
    report: dict[str, Any]
    dataset: Dataset
    notices: tuple[str, ...]


def relabel(
    run: Path,
    out: Path,
    *,
    data: Path | None = None,
    noise_rate: float | None = None,
    every_sample: bool = False,
    count: int = 100,
    overwrite: bool = False,
    safe_csv: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Relabelled:
    """Find the suspects of a finished run and write them, and the dataset with their labels corrected, to `out`.

    Args:
        data: where the run's dataset is now; None for the path in its config.json. noise_rate: see `scoring.judge`.
        every_sample: all training samples in suspects.csv, not only the suspects. count: images on sheet and page.
        safe_csv: in CSV files, put an apostrophe before names that a spreadsheet would take for formulas.
        progress: called with (records copied, records in all).

    Raises:
        TrainerError, DataToolsError: a run or dataset that does not serve, or `out` is taken. Nothing is left then.
    """
    out = out.absolute()
    check_out(out, overwrite)
    evidence = read_evidence(run, data)
    check_apart(out, evidence.dataset)
    if out in run.resolve().parents or out == run.resolve():
        raise TrainerError(f"{out}: is or holds the run directory, never overwritten; choose another --out")
    verdict = judge(evidence, noise_rate)
    paths = file_paths(evidence)
    with atomic_folder(out, overwrite=overwrite) as folder:
        write_suspects(evidence, verdict, paths, folder / SUSPECTS_FILE, every_sample, safe_csv)
        (folder / DATASET_FOLDER).mkdir()
        changed = write_corrected(evidence, verdict, folder / DATASET_FOLDER, progress, safe_csv)
        report = _report(evidence, verdict, changed)
        shown = verdict.order[: int(min(count, verdict.suspects.sum()))]
        notices = _draw(evidence, verdict, paths, shown, report, folder)
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
    return Relabelled(out, report, open_dataset(out / DATASET_FOLDER), notices)


def check_out(out: Path, overwrite: bool) -> None:
    """Raise TrainerError unless `relabel` may write the folder `out`; nothing is touched.

    Only what an earlier `relabel` made is replaced, and only if nothing was put into it since.
    """
    check_folder(out, overwrite, RELABELLED, error=TrainerError)


def _is_relabelled(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return REPORT_FILE in names and not names - CONTENT


RELABELLED = FolderKind(_is_relabelled, "holds what no relabel made")


def _report(evidence: Evidence, verdict: Verdict, changed: np.ndarray) -> dict[str, Any]:
    """The content of relabel.json."""
    names = evidence.class_names
    flips = np.zeros((len(names), len(names)), np.int64)
    np.add.at(flips, (evidence.given_labels[changed], verdict.suggested_labels[changed]), 1)
    trained = int((~evidence.held_out).sum())
    return {
        "format_version": FORMAT_VERSION,
        "run": {
            "path": str(evidence.directory),
            "method": evidence.method,
            "network": evidence.network,
            "seed": evidence.seed,
        },
        "dataset": {"name": evidence.dataset.metadata.name, "sha256": evidence.dataset.sha256},
        "samples": len(evidence.given_labels),
        "held_out": len(evidence.given_labels) - trained,
        "suspects": int(verdict.suspects.sum()),
        "suspects_from": verdict.count_from,
        "noise_rate": verdict.noise_rate,
        "least_suspicion": _least(verdict),
        "changes": [
            {"from": int(i), "to": int(j), "from_name": names[i], "to_name": names[j], "count": int(flips[i, j])}
            for i, j in zip(*np.nonzero(flips), strict=True)
        ],
        "truth": compare(evidence, verdict),
        "created_by": package_version(),
    }


def _least(verdict: Verdict) -> float | None:
    """The suspicion from which on a sample is a suspect; None without suspects."""
    return float(verdict.suspicion[verdict.suspects].min()) if verdict.suspects.any() else None


def _draw(
    evidence: Evidence,
    verdict: Verdict,
    paths: dict[int, str] | None,
    shown: np.ndarray,
    report: dict[str, Any],
    folder: Path,
) -> tuple[str, ...]:
    """suspects.png and page.html, as far as there is something to show; what is missing is said."""
    depth = evidence.dataset.metadata.image_shape.depth
    if depth not in MODES:
        return (f"images of {depth} planes are neither grey nor RGB: {SHEET_FILE} and {PAGE_FILE} are left out",)
    names = evidence.class_names
    tiles, cards = [], []
    for record, pixels in zip(shown.tolist(), evidence.data.train_images[shown], strict=True):
        label, suggested = int(evidence.given_labels[record]), int(verdict.suggested_labels[record])
        wrong = evidence.wrong is not None and bool(evidence.wrong[record])
        tile = Tile(pixels, record, (names[label], names[suggested]), wrong)
        tiles.append(tile)
        cards.append(card(tile, _facts(evidence, verdict, record), None if paths is None else paths.get(record, "")))
    title = f"{evidence.dataset.metadata.name}: {len(shown):,} most suspicious of {report['suspects']:,} suspects"
    page = render(title, _lead(evidence, report), page_figures(report), cards)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")
    if not tiles:
        return (f"no suspects, so no {SHEET_FILE}",)
    draw_tiles(tiles, f"{title}, given and suggested labels").save(folder / SHEET_FILE, "PNG")
    return ()


def _facts(evidence: Evidence, verdict: Verdict, record: int) -> dict[str, Any]:
    probability = evidence.mean_probability[record]
    clean = None if evidence.clean_labels is None else evidence.class_names[evidence.clean_labels[record]]
    return {
        "suspicion": float(verdict.suspicion[record]),
        "confidence": float(verdict.confidence[record]),
        "given_probability": float(probability[evidence.given_labels[record]]),
        "suggested_probability": float(probability[verdict.suggested_labels[record]]),
        "loss_rank": int(verdict.loss_rank[record]),
        "clean_name": clean,
    }


def how_many_from(report: dict[str, Any]) -> str:
    """Where the number of suspects comes from, in words."""
    if report["suspects_from"] == BY_CONFIDENT_JOINT:
        return "as many as the confident joint counts, since the run was told no noise rate"
    return f"the most suspicious {report['noise_rate']:.1%} of the samples ({report['suspects_from']})"


def _lead(evidence: Evidence, report: dict[str, Any]) -> list[str]:
    return [
        f"{report['suspects']:,} of {report['samples']:,} training labels are suspected, by a run of {evidence.method} "
        f"({evidence.network}, seed {evidence.seed}): {how_many_from(report)}. Most suspicious first.",
        "Given label → suggested label; p: the network's mean probability of each over the training. "
        f"All suspects are in {SUSPECTS_FILE}, the corrected dataset is in {DATASET_FOLDER}/.",
    ]


def page_figures(report: dict[str, Any]) -> list[tuple[str, str]]:
    """(term, value) of the figures a person asks for."""
    figures = [("samples", f"{report['samples']:,}"), ("suspects", f"{report['suspects']:,}")]
    truth = report["truth"]
    if truth is None:
        return figures
    for name in TRUTH_FIGURES:
        if truth[name] is not None:
            shown = f"{truth[name]:.3f}" if name == "average_precision" else f"{truth[name]:.1%}"
            figures.append((name.replace("_", " "), shown))
    return figures


def read_report(directory: Path) -> dict[str, Any]:
    """The content of a relabel.json.

    Raises:
        TrainerError: no folder that `relabel` made, or not of this format.
    """
    path = directory / REPORT_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format_version is not {FORMAT_VERSION}")
        return dict(values)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise TrainerError(f"{path}: cannot be read ({error}); make it anew with `trainer relabel`") from None
