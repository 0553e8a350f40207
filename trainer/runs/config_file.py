"""config.json, read back: what every version of it says, and the settings as this version knows them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.runs.directory import CONFIG_FILE
from trainer.runs.reading import get, read_object, readable
from trainer.runs.replacing import put_back

MAX_RECORDS = 1 << 32
"""An id has 32 bits."""
MAX_EPOCHS = 1 << 31


@dataclass(frozen=True)
class TrainedOn:
    """The dataset of a run, as config.json has it.

    Attributes:
        path, sha256: where it was, and the SHA-256 of its dataset.json; None where the file does not say it.
        noise: the noise section of its dataset.json, or None.
    """

    name: str
    train_records: int
    path: str | None
    sha256: str | None
    noise: dict[str, Any] | None


@dataclass(frozen=True)
class ConfigFile:
    """config.json: checked for what any run of any version has.

    Attributes:
        path: of the file. values: all that is in it, of other versions too. epochs: of each restart.
    """

    path: Path
    values: dict[str, Any]
    method: str
    network: str
    epochs: int
    seed: int
    dataset: TrainedOn

    def run_config(self) -> RunConfig:
        """The settings, each of its kind and known to this version.

        Raises:
            TrainerError: one is missing, of another kind, or not known here.
        """
        with readable(self.path):
            _check_kinds(self.values)
            try:
                config = RunConfig.from_json(self.values)
                config.check_names()
            except TrainerError as error:  # a value out of range, or a name that is not known
                raise ValueError(error) from None
            return config

    def dataset_path(self) -> Path:
        """Where the dataset was.

        Raises:
            TrainerError: the file does not say it.
        """
        with readable(self.path):
            return Path(get(self.values["dataset"], "path", str, "dataset."))

    def dataset_sha256(self) -> str:
        """The SHA-256 of the dataset's dataset.json.

        Raises:
            TrainerError: the file does not say it.
        """
        with readable(self.path):
            return str(get(self.values["dataset"], "sha256", str, "dataset."))

    def features_sha256(self) -> str | None:
        """The SHA-256 of the features that the run was trained on; None where it was trained on images.

        Raises:
            TrainerError: the file does not say it.
        """
        with readable(self.path):
            if self.values.get("features") is None:
                return None
            return str(get(get(self.values, "features_file", dict), "sha256", str, "features_file."))


def read_config_file(directory: Path) -> ConfigFile:
    """The config.json of a run directory.

    Raises:
        TrainerError: it is not there, or not what a run writes.
    """
    put_back(directory)
    path = directory / CONFIG_FILE
    with readable(path, if_missing="name a run directory that `trainer run` made"):
        values = read_object(path)
        epochs = get(values, "epochs", int)
        if not 1 <= epochs < MAX_EPOCHS:
            raise ValueError(f"'epochs' should be at least 1 and less than {MAX_EPOCHS:,}")
        return ConfigFile(
            path=path,
            values=values,
            method=get(values, "method", str),
            network=get(values, "network", str),
            epochs=epochs,
            seed=get(values, "seed", int),
            dataset=_dataset(get(values, "dataset", dict)),
        )


def _dataset(values: dict[str, Any]) -> TrainedOn:
    records = get(values, "train_records", int, "dataset.")
    if not 1 <= records <= MAX_RECORDS:
        raise ValueError(f"'dataset.train_records' should be at least 1 and at most {MAX_RECORDS:,}")
    path, sha256 = (value if isinstance(value := values.get(key), str) else None for key in ("path", "sha256"))
    if path is not None and "\0" in path:
        raise ValueError("'dataset.path' is no path")
    if path is not None:
        os.fsencode(path)  # raises UnicodeEncodeError, a ValueError, for what no path can be
    noise = None if values.get("noise") is None else get(values, "noise", dict, "dataset.")
    return TrainedOn(get(values, "name", str, "dataset."), records, path, sha256, noise)


def _check_kinds(values: dict[str, Any]) -> None:
    """Raise ValueError unless what is in `values` of `RunConfig`'s fields, settings or not, is of their kinds."""
    for name, kind in get_type_hints(RunConfig).items():
        if name in values and not _is(values[name], kind):
            raise ValueError(f"'{name}' is not of the kind expected")


def _is(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of the kind that a setting's type hint names."""
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_is(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if get_args(kind):  # a union
        return any(_is(value, part) for part in get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
