"""The file of a noise estimate: what `trainer estimate-noise` writes and `trainer run --noise-rate estimated` reads.

It lies beside the dataset directory, not in it, as NAME.noise-estimate.json, and is of one dataset: it names the
SHA-256 of its dataset.json. docs/relabel.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datatools.files.output import new_file
from datatools.format.dataset import Dataset
from datatools.format.metadata import package_version
from trainer.errors import TrainerError

FORMAT_VERSION = 1
SUFFIX = ".noise-estimate.json"
MAX_BYTES = 64 << 20


def default_path(dataset: Dataset) -> Path:
    """Where the estimate of a dataset lies: beside its directory."""
    place = dataset.path.absolute()
    return place.with_name(f"{place.name}{SUFFIX}")


def read_estimate(path: Path, dataset: Dataset) -> float:
    """The estimated noise rate of `dataset`, in [0, 1).

    Raises:
        TrainerError: no such file, not an estimate, or one of another dataset.
    """
    remedy = f"make one with `trainer estimate-noise --data {dataset.path}`"
    if not path.is_file():
        raise TrainerError(f"{path}: no estimate of the noise rate there; {remedy}, or name one with --noise-estimate")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
        values = json.loads(path.read_text(encoding="utf-8"))
        version, sha256, rate = values["format_version"], values["dataset"]["sha256"], values["noise_rate"]["value"]
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version {version} is not {FORMAT_VERSION}, the one this version reads")
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f"'noise_rate.value' should be a fraction in [0, 1), is {rate!r:.60}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TrainerError(f"{path}: not an estimate of a noise rate ({error}); {remedy}") from None
    if sha256 != dataset.sha256:
        raise TrainerError(
            f"{path}: estimated on another dataset, or {dataset.path} changed since (dataset.json "
            f"{dataset.sha256[:12]}…, the estimate has {str(sha256)[:12]}…); {remedy}"
        )
    return float(rate)


def estimate_noise(
    dataset: Dataset,
    out: Path,
    *,
    folds: int = 5,
    repeats: int = 200,
    overwrite: bool = False,
    training_progress: Callable[[int, int], None] = lambda done, total: None,
    bootstrap_progress: Callable[[int, int], None] = lambda done, total: None,
    **settings: Any,
) -> dict[str, Any]:
    """Estimate noise rate and transition matrix of a dataset, and write them to `out`.

    Args:
        folds, repeats: of the cross-validation, of the bootstrap. settings: network, epochs, batch_size, learning_rate,
            seed, engine, device, as of `config.resolve`. training_progress, bootstrap_progress: called with (done, in
            all), in epochs and in repeats.

    Returns:
        The content of the file.

    Raises:
        TrainerError: cleanlab is missing, too few samples for the folds, one class, a setting out of range, or an
            engine that cannot train. DataToolsError: `out` is taken or badly named, or the dataset is damaged.
    """
    from trainer.audit.estimation import Estimate, estimate, estimate_settings, load_cleanlab, predict_out_of_sample
    from trainer.audit.estimation import transition_matrix as matrix_of

    with new_file(out, (".json",), overwrite) as partial:
        load_cleanlab()
        config = estimate_settings(dataset, **settings)
        predictions = predict_out_of_sample(dataset, config, folds, training_progress)
        joint_rate, mixture, joint = estimate(predictions, config.seed, repeats, bootstrap_progress)

        def figure(value: Estimate, by: str) -> dict[str, Any]:
            return {"value": value.value, "low": value.low, "high": value.high, "by": by}

        matrix = matrix_of(joint)
        content = {
            "format_version": FORMAT_VERSION,
            "dataset": {"name": dataset.metadata.name, "sha256": dataset.sha256},
            "samples": len(predictions.labels),
            "agreement": float(np.mean(predictions.probability.argmax(axis=1) == predictions.labels)),
            "noise_rate": figure(joint_rate, "confident joint"),
            "mixture_noise_rate": figure(mixture, "two Gaussians on the losses"),
            "interval": "95%, percentiles of a bootstrap over samples",
            "class_names": list(dataset.metadata.class_names),
            "transition_matrix": matrix.tolist(),
            "joint": joint.tolist(),
            "truth": _truth(dataset, joint_rate.value, matrix),
            "settings": {
                "folds": folds,
                "epochs_used": list(predictions.epochs),
                "bootstrap": repeats,
                **{
                    name: getattr(config, name)
                    for name in ("network", "epochs", "batch_size", "learning_rate", "seed", "engine")
                },
            },
            "created_by": package_version(),
        }
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return content


def _truth(dataset: Dataset, rate: float, matrix: np.ndarray) -> dict[str, Any] | None:
    """What the manifest says, and how far the estimate is off; None where nobody knows."""
    metadata = dataset.metadata
    if metadata.labels == "unknown":
        return None
    true_rate, true_matrix = 0.0, np.eye(metadata.num_classes)
    if (manifest := dataset.manifest()) is not None:
        true_rate, true_matrix = manifest.realised_rate, manifest.realised_matrix
    filled = true_matrix.sum(axis=1) > 0
    return {
        "noise_rate": true_rate,
        "error": rate - true_rate,
        "transition_matrix_mean_error": float(np.abs(matrix - true_matrix)[filled].mean()),
        "transition_matrix": true_matrix.tolist(),
    }


def summary(content: dict[str, Any]) -> list[str]:
    """What a person reads of an estimate, line by line; the truth beside it where it is known."""
    rate, mixture, truth = content["noise_rate"], content["mixture_noise_rate"], content["truth"]
    epochs = content["settings"]["epochs_used"]
    lines = [
        f"noise rate {_figure(rate)} by the confident joint",
        f"second opinion {_figure(mixture)} by a mixture of two on the losses",
        f"the networks, of epochs {', '.join(map(str, epochs))}, agree with {content['agreement']:.1%} of the labels "
        "they have not seen; what they cannot learn reads as noise",
    ]
    matrix, names = np.array(content["transition_matrix"]), content["class_names"]
    likeliest = largest_flips(matrix, names)
    if likeliest:
        lines.append(f"likeliest confusions, true to given: {likeliest}")
    if truth is not None:
        lines.append(
            f"truth {truth['noise_rate']:.1%}, so the estimate is off by {100 * truth['error']:+.1f} percentage "
            f"points; transition matrix off by {truth['transition_matrix_mean_error']:.3f} on average"
        )
    return lines


def _figure(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.1%} (95% of the bootstrap: {figure['low']:.1%} to {figure['high']:.1%})"


def largest_flips(matrix: np.ndarray, names: Sequence[str], count: int = 3) -> str:
    """The likeliest confusions of a (K, K) transition matrix in words, true to given; "" where there is none."""
    flips = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-flips, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(matrix)) for place in order]

    def shown(name: str) -> str:
        return " ".join(name.split()) or "(no name)"

    return ", ".join(f"{shown(names[i])} to {shown(names[j])} {flips[i, j]:.0%}" for i, j in pairs if flips[i, j] > 0)


def write_audited_rate(path: Path, dataset: Dataset, rate: float, low: float, high: float) -> None:
    """Write the noise rate of an audit where `read_estimate` finds it, in the place of an earlier estimate."""
    content = {
        "format_version": FORMAT_VERSION,
        "dataset": {"name": dataset.metadata.name, "sha256": dataset.sha256},
        "noise_rate": {"value": rate, "low": low, "high": high},
        "method": "audit",
        "created_by": package_version(),
    }
    with new_file(path, (".json",), overwrite=True) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
