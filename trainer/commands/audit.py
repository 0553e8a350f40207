"""`trainer audit`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datatools.commands.options import no_fsync_option, print_notices
from datatools.commands.printing import echo
from datatools.progress import Progress

if TYPE_CHECKING:
    from datatools.format.dataset import Dataset
    from trainer.audit.folder_audit import Audited, Evidence

AUDIT_SIZE = 160
"""Pixels a side of the dataset that a folder is converted to."""


@click.command(epilog="Example: trainer audit my_photos")
@click.argument("target", metavar="FOLDER|DATASET", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("audit"),
    show_default=True,
    help="Folder to make.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    envvar="DATATOOLS_ROOT",
    show_envvar=True,
    help="Folder where datasets live; a folder of images is converted to a dataset there.",
)
@click.option(
    "--features",
    metavar="FILE",
    help="Features of any model in place of --backbone's, .npz, .npy or .h5, as `trainer run` takes them.",
)
@click.option(
    "--backbone",
    default="efficientnet-lite0",
    show_default=True,
    metavar="NAME",
    help="The network that makes the features, as for `trainer embed`.",
)
@click.option(
    "--size",
    type=click.IntRange(32, 1024),
    default=160,
    show_default=True,
    metavar="PIXELS",
    help="Side of the square that each image is resized to for the backbone.",
)
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE", help="Weights.  [default: the backbone's own]"
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    metavar="K",
    help="Each K-th of the images is judged by a model that was trained on the others.",
)
@click.option(
    "--confidence",
    "least_confidence",
    type=click.FloatRange(0.5, 1),
    default=0.8,
    show_default=True,
    metavar="C",
    help="From which confidence on a suggestion is in suggestions.csv, 0.5 to 1.",
)
@click.option(
    "--bootstrap",
    "repeats",
    type=click.IntRange(min=20),
    default=100,
    show_default=True,
    metavar="N",
    help="How often the noise rate is taken anew on samples drawn with replacement, for its interval.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Folds, simulation, bootstrap.")
@click.option("--embed", is_flag=True, help="Put the pictures into the page, so that it can be taken anywhere.")
@click.option("--overwrite", is_flag=True, help="Replace an audit that stands there.")
@no_fsync_option
def audit(target: Path, root: Path, folds: int, out: Path, overwrite: bool, **given: Any) -> None:
    """Judge the label of every image of a folder, or of a dataset, and make a page to review them on.

    A folder of images, a sub-folder a class, is converted to a dataset and its images are turned into pretrained
    features (extra `pretrained`). Each image, training or test, is judged by a model that was trained on other images.
    Prints how many labels are wrong, with an interval, and whether that figure may be used. Writes audit.json,
    samples.csv, probabilities.npz, suggestions.csv and review.html; the images stay as they are. `trainer apply`
    takes the decisions that the page gives.
    """
    from trainer.audit.folder_audit import audit_dataset, check_audit_folder, evidence_of_features

    check_audit_folder(out, overwrite)
    dataset, folder = _dataset(target, root, out)
    features = _features(dataset, given.pop("features"), given.pop("backbone"), given.pop("size"), given.pop("weights"))
    with ExitStack() as bars:

        def stage(title: str, unit: str) -> Progress:
            from datatools.progress import progress_bar

            bars.close()
            return bars.enter_context(progress_bar(title, unit))

        evidence = evidence_of_features(dataset, features, folds, given["seed"], stage)
        made = audit_dataset(dataset, evidence, out, folder=folder, overwrite=overwrite, stage=stage, **given)
    print_notices(made.notices)
    _tell(made, evidence, dataset)
    _pass_on(made, dataset)


def _dataset(target: Path, root: Path, out: Path) -> tuple[Dataset, Path | None]:
    """The dataset, and the folder of files that it was made from just now, or None."""
    from datatools.conversion import convert, default_name
    from datatools.errors import DataToolsError
    from datatools.format.dataset import open_dataset
    from datatools.progress import progress_bar

    if (target / "dataset.json").is_file():
        return open_dataset(target), None
    if not target.is_dir():
        raise DataToolsError(f"{target}: no such folder; name a folder of images, a sub-folder a class, or a dataset")
    place = root / default_name("image-folder", None, AUDIT_SIZE, None, source=target)
    replace = place.is_dir() and _is_made_of(place, target)
    with progress_bar(f"convert {target.name}", "images") as progress:
        made = convert("image-folder", root=root, source=target, size=AUDIT_SIZE, overwrite=replace, progress=progress)
    print_notices(made.notices)
    return made.dataset, target


def _is_made_of(place: Path, folder: Path) -> bool:
    """Whether a dataset was converted from a folder of this path, so that making it anew loses nothing."""
    from datatools.format.dataset import open_dataset

    source = open_dataset(place).metadata.source
    return source.get("name") == "image-folder" and Path(str(source.get("location", ""))).resolve() == folder.resolve()


def _features(dataset: Dataset, features: str | None, backbone: str, size: int, weights: Path | None) -> Any:
    from datatools.progress import progress_bar
    from trainer.features import open_features
    from trainer.features.embedding import make_features

    if features is not None:
        return open_features(dataset, features)
    with progress_bar(f"features by {backbone}", "images") as progress:
        made = make_features(dataset, backbone, size, weights=weights, progress=progress)
    return open_features(dataset, str(made.path))


def _tell(made: Audited, evidence: Evidence, dataset: Dataset) -> None:
    from trainer.audit.noise_estimate import largest_flips

    facts, verdict = made.facts, made.verdict
    low, high = verdict.interval
    too_high = 100 * max(0.0, verdict.bias)
    echo(f"the model agrees with {verdict.agreement:.1%} of {len(evidence.labels):,} labels, each judged without it")
    echo(
        f"noise rate {verdict.noise_rate:.1%} ({low:.1%} to {high:.1%}): the confident joint has "
        f"{verdict.confident_joint:.1%}, too high by {too_high:.0f} percentage points in a simulation"
    )
    if verdict.neighbours is not None:
        apart = 100 * abs(verdict.neighbours - verdict.noise_rate)
        echo(f"second opinion {verdict.neighbours:.1%} by neighbours in feature space: {apart:.0f} points apart")
    if verdict.not_usable is not None:
        echo(f"not usable: {verdict.not_usable}; look at the images on the page, and pass no rate on")
    confusions = largest_flips(verdict.matrix, dataset.metadata.class_names)
    if confusions:
        echo(f"likeliest confusions, true to given: {confusions}")
    echo(
        f"{facts['suspects']:,} labels suspected; {facts['pictures_twice']:,} pictures are there twice, "
        f"{facts['pictures_twice_in_two_classes']:,} of them in two classes; {facts['pictures_like_no_other']:,} are "
        "like no other"
    )
    truth = facts["truth"]
    if truth is not None:
        echo(
            f"truth: {truth['noise_rate']:.1%} wrong; of the suspects precision {truth['precision']:.1%}, recall "
            f"{truth['recall']:.1%}, F1 {truth['f1']:.3f}"
        )


def _pass_on(made: Audited, dataset: Dataset) -> None:
    """Say what to do next; a usable rate of labels that nobody knows goes where `--noise-rate estimated` looks."""
    from trainer.audit.noise_estimate import default_path, write_audited_rate

    echo(f"{made.directory / 'review.html'}: open it in a browser, decide, and download decisions.csv")
    if made.suggestions:
        echo(f"{made.directory / 'suggestions.csv'}: {made.suggestions:,} changes that may be applied unseen")
    else:
        echo("no change is suggested unseen: too few labels are wrong for that, or the estimate is not usable")
    echo(f"then `trainer apply decisions.csv --audit {made.directory} --to NEW_FOLDER`")
    if made.verdict.not_usable is None and dataset.metadata.labels == "unknown":
        low, high = made.verdict.interval
        path = default_path(dataset)
        write_audited_rate(path, dataset, made.verdict.noise_rate, low, high)
        echo(f"{path}: the estimate; `trainer run selfie --data {dataset.path} --noise-rate estimated` reads it")
