"""Claim: `trainer estimate-noise` is within 0.05 of the truth on digits; what it says of real human labels.

    pip install cleanlab
    DATATOOLS_REAL_DATA=… python bench/estimate_noise.py [--images 10000] [--only digits|cifar] [--folds K] [--epochs E]

Digits with pair noise 0.2 and symmetric noise 0.4, then the first 10,000 images of CIFAR-10 with the human labels of
CIFAR-10N (columns aggre_label and worse_label; Wei et al., ICLR 2022), whose true rate on these images the label file
tells. Where no real data are at hand, digits alone. Digits with the command's own 5 folds and 15 epochs at most;
CIFAR-10 with 3 and 10, for about a quarter of an hour on 2 cores in all.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import real_data, report

from datatools import convert, corrupt
from datatools.format.dataset import Dataset
from trainer.audit.noise_estimate import estimate_noise

DIGITS = (("pair", 0.2), ("symmetric", 0.4))
COLUMNS = ("aggre_label", "worse_label")
FOLDS_AND_EPOCHS = {"digits": (5, 15), "cifar10": (3, 10)}
SETTINGS: dict[str, Any] = {"network": "small-cnn", "batch_size": 64, "learning_rate": 0.05, "seed": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="of CIFAR-10; default 10000")
    parser.add_argument("--epochs", type=int, help="a fold at most; default 15, of CIFAR-10 10")
    parser.add_argument("--folds", type=int, help="default 5, of CIFAR-10 3")
    parser.add_argument("--only", choices=("digits", "cifar"), help="default both")
    parser.add_argument("--print-only", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for dataset in datasets(Path(folder), arguments):
            found.append(figures(dataset, Path(folder), arguments))
            print(found[-1], flush=True)
    if not arguments.print_only:
        report("estimate_noise", {"settings": SETTINGS, "datasets": found})


def datasets(folder: Path, arguments: argparse.Namespace) -> Iterator[Dataset]:
    if arguments.only != "cifar":
        digits = convert("digits", out=folder / "digits").dataset
        for noise, rate in DIGITS:
            yield corrupt(digits, noise=noise, rate=rate).dataset
    if arguments.only == "digits" or (arguments.only is None and "DATATOOLS_REAL_DATA" not in os.environ):
        return
    labels, source = real_data() / "cifar-n" / "CIFAR-10_human.pt", real_data() / "cifar-10-batches-bin"
    cifar = convert("cifar10", source=source, out=folder / "cifar10", limit=arguments.images).dataset
    for column in COLUMNS:
        yield corrupt(cifar, noise="human", labels=labels, column=column).dataset


def figures(dataset: Dataset, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The estimate of one dataset, without its matrices."""
    out = folder / f"{dataset.metadata.name}.json"
    folds, epochs = FOLDS_AND_EPOCHS[dataset.metadata.source["name"]]
    folds, epochs = arguments.folds or folds, arguments.epochs or epochs
    content = estimate_noise(dataset, out, folds=folds, epochs=epochs, **SETTINGS)
    truth = content["truth"]

    def rounded(figure: dict[str, Any]) -> dict[str, Any]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in figure.items()}

    return {
        "dataset": dataset.metadata.name,
        "samples": content["samples"],
        "truth": round(truth["noise_rate"], 4),
        "confident_joint": rounded(content["noise_rate"]),
        "mixture": rounded(content["mixture_noise_rate"]),
        "error": round(truth["error"], 4),
        "within_0.05": abs(truth["error"]) <= 0.05,
        "transition_matrix_mean_error": round(truth["transition_matrix_mean_error"], 4),
        "epochs_used": content["settings"]["epochs_used"],
        "agreement": round(content["agreement"], 4),
        "folds": folds,
        "epochs_at_most": epochs,
    }


if __name__ == "__main__":
    main()
