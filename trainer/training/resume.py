"""What a run is, and whether a run that is resumed is the same one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.config import RunConfig
from trainer.engine import Engine
from trainer.errors import TrainerError
from trainer.reporters.base import Reporter
from trainer.runs.directory import CHECKPOINT_FILE, versions
from trainer.runs.run import load_run
from trainer.settings import settings_of
from trainer.training.checkpoint import Checkpoint, read_checkpoint
from trainer.training.code_identity import code_sha256
from trainer.training.stopping import DatasetWatch
from trainer.vectors import Features

HARMLESS_SETTINGS = {
    "noise_rate_from",
    "features",  # where they are; what they are is told by their SHA-256
    *(name for name, setting in settings_of(RunConfig).items() if setting.changes_no_result),
}
"""What may change from one part of a run to the next: it changes no result by intent."""


def identity_of(config: RunConfig, watch: DatasetWatch, features: Features | None = None) -> dict[str, Any]:
    """What a run is, as far as a resume must not differ from it.

    Returns:
        "settings", "dataset", "manifest", "features" (the SHA-256 of the numbers, None of images), "code" and
        "packages"; the engine's "device" is None as yet.
    """
    installed = versions()
    frameworks = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}[config.engine]
    return {
        "settings": config.to_json(),
        "dataset": watch.sha256,
        "manifest": watch.manifest_sha256,
        "features": None if features is None else features.sha256,
        "code": code_sha256(),
        "packages": {name: installed[name] for name in ("python", "numpy", "keras", *frameworks)},
        "device": None,
    }


def finished_result(directory: Path, identity: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The result of a finished run, which a resume leaves as it is.

    Raises:
        TrainerError: another run is finished there.
    """
    run = load_run(directory)
    check_same_run({**identity, **run.identity}, identity, directory)
    reporter.note(f"{directory}: finished already, nothing to resume")
    reporter.finish(directory, run.result)
    return run.result


def saved_checkpoint(directory: Path, identity: dict[str, Any], reporter: Reporter) -> Checkpoint | None:
    """What a resume goes on from; None if there is nothing.

    Raises:
        TrainerError: it is another run's, or damaged.
    """
    if not (directory / CHECKPOINT_FILE).is_file():
        reporter.note(f"{directory}: no checkpoint there, nothing to resume; starts from the beginning")
        return None
    checkpoint = read_checkpoint(directory / CHECKPOINT_FILE)
    check_same_run(checkpoint.identity, identity, directory)
    return checkpoint


def check_same_run(before: dict[str, Any], identity: dict[str, Any], directory: Path) -> None:
    """Raise TrainerError unless settings and dataset are those of the run in `directory`."""
    firm, _ = differences(before, identity)
    if firm:
        raise TrainerError(
            f"{directory}: the run there is another one, in {'; '.join(firm)}; name the run's own to resume it, or "
            "choose another --run-dir"
        )


def check_surroundings(
    before: dict[str, Any], identity: dict[str, Any], directory: Path, force: bool, reporter: Reporter
) -> None:
    """Raise TrainerError unless code, packages and device are the same, or `force` says that it is no matter."""
    _, soft = differences(before, identity)
    if soft and not force:
        raise TrainerError(
            f"{directory}: not resumed, since the result might differ from an uninterrupted run's: {'; '.join(soft)}; "
            "pass --force to resume all the same"
        )
    if soft:
        reporter.note(f"resumed with other {'; '.join(soft)}")


def note_if_irreproducible(engine: Engine, reporter: Reporter) -> None:
    """Say so where a resumed run need not end in the same bits as an uninterrupted one."""
    if not engine.reproducible:
        reporter.note(
            "resumed without --deterministic: on a GPU the result may differ from an uninterrupted run's in its last "
            "digits, and more with every epoch"
        )


def differences(before: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], list[str]]:
    """In what two identities differ: what forbids a resume, and what --force allows.

    Settings and dataset change what a run is. Code, packages and device are meant to change nothing but rounding, which
    only who resumes can judge.
    """
    firm = _other_settings(before["settings"], now["settings"])
    if before["dataset"] != now["dataset"]:
        firm.append(f"dataset with dataset.json {now['dataset'][:12]}… (the run has {before['dataset'][:12]}…)")
    elif before.get("manifest") != now.get("manifest"):
        firm.append("the dataset's manifest.h5, its clean labels (the run has those of another file)")
    if before.get("features") != now.get("features"):
        firm.append(f"{_features_words(now)} (the run has {_features_words(before)})")
    return firm, _other_surroundings(before, now)


def _features_words(identity: dict[str, Any]) -> str:
    sha256 = identity.get("features")
    return "images" if sha256 is None else f"features of SHA-256 {sha256[:12]}…"


def _other_settings(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    group = "method_settings"
    old, new = ({**settings, **settings[group]} for settings in (before, now))
    # settings of another method are no difference beside the method itself
    names = [*before, *(before[group] if before["method"] == now["method"] else ())]
    return [
        f"{'' if name == 'method' else '--'}{name.replace('_', '-')} {new.get(name)} (the run has {old[name]})"
        for name in names
        if name != group and name not in HARMLESS_SETTINGS and new.get(name) != old[name]
    ]


def _other_surroundings(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    soft = [
        f"{name} {now['packages'].get(name)} (the run has {old})"
        for name, old in before["packages"].items()
        if now["packages"].get(name) != old
    ]
    if before["device"] != now["device"]:
        soft.append(f"device {now['device']} (the run has {before['device']})")
    if before["code"] != now["code"]:
        soft.append(f"trainer's code {now['code'][:12]}… (the run has {before['code'][:12]}…)")
    return soft
