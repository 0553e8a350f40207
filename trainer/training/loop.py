"""A run from its settings to its results: checks, engine, training, and the files of the run directory."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from datatools.format.dataset import Dataset
from trainer import metrics
from trainer.config import RunConfig
from trainer.data import EpochOrders, epoch_batches, load
from trainer.engine import make_engine
from trainer.features.file import open_features
from trainer.metrics import EpochRow
from trainer.reporters.base import EarlyReporter, Reporter, RunPlan
from trainer.runs.directory import (
    RESULT_FILE,
    SAMPLES_FILE,
    WEIGHTS_FILE,
    RunLog,
    write_arrays,
    write_config,
    write_json,
    write_samples,
)
from trainer.runs.replacing import check_free, run_directory, set_aside
from trainer.training.checkpoint import Checkpoint, Place, Progress
from trainer.training.epochs import RunSetup, Training
from trainer.training.ledger import Ledger
from trainer.training.probe import TEST_TO_TRAIN_COST, note_loading, prepare, probe, seconds_so_far
from trainer.training.resume import (
    check_surroundings,
    finished_result,
    identity_of,
    note_if_irreproducible,
    saved_checkpoint,
)
from trainer.training.signals import Stop, stop_on_signals
from trainer.training.stopping import DatasetWatch, check_not_stopped


def train(
    config: RunConfig,
    dataset: Dataset,
    directory: Path,
    reporter: Reporter,
    *,
    overwrite: bool = False,
    resume: bool = False,
    force: bool = False,
    checkpoint_every: int = 1,
) -> dict[str, Any]:
    """Run a method on a dataset and fill its run directory.

    Args:
        resume: go on from the checkpoint in `directory`, to what an uninterrupted run would have given; where there is
            none, start. A finished run is left as it is.
        force: resume in spite of other code, packages or device.
        checkpoint_every: epochs from one checkpoint to the next; one is also written at the end and on a signal.

    Returns:
        The content of result.json.

    Raises:
        TrainerError: the directory is taken, the data do not belong together or change, settings contradict each other
            or differ from those of the run that is resumed, or the loss is not finite.
        RunStoppedError: SIGINT or SIGTERM came; the checkpoint is saved.
    """
    # What can be checked is checked before the directory is touched
    config.check_names()
    config.check_inputs()
    check_free(directory, overwrite or resume)
    started = time.monotonic()
    with stop_on_signals(reporter.note) as stop:
        note_loading(config.engine, reporter)
        watch = DatasetWatch(dataset)
        features = None if config.features is None else open_features(dataset, config.features)
        data = load(dataset, config.validation_fraction, config.seed, features)
        with run_directory(directory):
            # Once more, now that no other process can write there
            check_free(directory, overwrite or resume)

            # What a resume starts from: another run is refused before an engine is made, which takes seconds
            identity = identity_of(config, watch, features)
            if resume and (directory / RESULT_FILE).is_file():
                return finished_result(directory, identity, reporter)
            checkpoint = saved_checkpoint(directory, identity, reporter) if resume else None
            check_not_stopped(stop, directory)

            # The engine, which tells the device
            method = config.make_method()
            told = method.told(dataset)
            engine = make_engine(config, method, data)
            device = engine.device
            setup = RunSetup(config, dataset, data, method, engine, directory, {**identity, "device": device}, told)
            if checkpoint is not None:
                check_surroundings(checkpoint.identity, setup.identity, directory, force, reporter)
                note_if_irreproducible(engine, reporter)
            check_not_stopped(stop, directory)

            plan, step_seconds = _prepared(setup, checkpoint, reporter, stop)

            # From config.json on the directory is this run's; the engine takes up the state from which training starts
            progress = Progress(Place(), config.noise_rate)
            if checkpoint is None:
                set_aside(directory)
            else:
                engine.load_state(checkpoint.state)
                engine.memory = checkpoint.memory
                progress = checkpoint.progress
            write_config(directory, config, dataset, setup.identity, features)

            # Train to the end
            reporter.start(plan)
            log = RunLog(directory, metrics.columns(method, data), [row.to_json() for row in progress.rows])
            orders = EpochOrders(partial(epoch_batches, config, data))
            with closing(log), closing(orders):
                training = Training(setup, progress, log, orders, reporter, stop, watch, step_seconds, checkpoint_every)
                training.run()
            return _write_results(training, started)


def _prepared(
    setup: RunSetup, checkpoint: Checkpoint | None, reporter: Reporter, stop: Stop
) -> tuple[RunPlan, float | None]:
    """The plan, shown before the step is compiled and timed, and the seconds a step takes where that is known."""
    config, data, engine = setup.config, setup.data, setup.engine
    end_if_stopped = partial(check_not_stopped, stop, setup.directory)
    plan = _plan(setup, () if checkpoint is None else checkpoint.progress.rows)
    if isinstance(reporter, EarlyReporter):
        reporter.preparing(plan)
    compile_seconds = prepare(engine, setup.method, config, setup.first_passes, reporter)
    end_if_stopped()
    step_seconds = None
    if engine.on_cpu:
        step_seconds = None if checkpoint is None else seconds_so_far(checkpoint.progress, setup.steps_per_epoch)
        if step_seconds is None:
            reporter.note("timing a few steps…")
            step_seconds = probe(engine, setup.method, config, setup.first_passes[0], end_if_stopped)
    test_steps = (len(data.test_labels) + len(data.validation_ids)) / config.batch_size * TEST_TO_TRAIN_COST
    # Of stages that are to come nothing is timed
    foretold = step_seconds is not None and len(setup.method.stages) == 1
    seconds = plan.epochs * (setup.steps_per_epoch + test_steps) * step_seconds if foretold and step_seconds else None
    return replace(plan, compile_seconds=compile_seconds, seconds=seconds), step_seconds


def _plan(setup: RunSetup, rows: tuple[EpochRow, ...]) -> RunPlan:
    """What the reporters are told before anything is compiled or timed."""
    config, data, engine = setup.config, setup.data, setup.engine
    return RunPlan(
        config=config,
        dataset=setup.dataset,
        data=data,
        directory=setup.directory,
        device=engine.device,
        on_cpu=engine.on_cpu,
        streams=engine.streams,
        parameters=engine.parameters(),
        runs=setup.method.num_runs,
        steps_per_epoch=setup.steps_per_epoch,
        # the run's mini-batches may be a little smaller than was asked for; a method's own are of a size of their own
        images_per_step=max(config.batch_size, setup.first_passes[0].indices.shape[1]),
        epochs_differ=len(setup.method.stages) > 1,
        notices=(*setup.method.notices, *engine.notices),
        rows=rows,
    )


def _write_results(training: Training, started: float) -> dict[str, Any]:
    """The files of a finished run; result.json, which says that it is finished, is the last."""
    setup, progress = training.setup, training.progress
    write_samples(setup.directory / SAMPLES_FILE, setup.data, setup.engine.memory, setup.method)
    write_arrays(setup.directory / WEIGHTS_FILE, training.weights())
    seconds = time.monotonic() - started
    result = metrics.result(setup.config.method, progress.rows, progress.kept, seconds)
    result["told"] = Ledger.of(setup.config, setup.method).to_json()
    write_json(setup.directory / RESULT_FILE, result)
    training.reporter.finish(setup.directory, result)
    return result
