"""Passes and stages through XLA, as a GPU runs them, give what a plain graph gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.tiny import batches, run_config, tensorflow_engine, training_data
from trainer.training.passes import passes_of

COUNT = 60


def trained(method: str, compile: bool, **options: Any) -> tuple[list[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """The sums of the passes of an epoch after the warm-up, and the state it ends with."""
    config = run_config(method, "linear", batch_size=10, method_settings=options)
    data = training_data(COUNT)
    engine = tensorflow_engine(config, data, compile=compile)
    engine.reset(0)
    memory = {**engine.start_memory()}
    if "clean_probability" in memory:
        # 40 samples are labelled by the first network, 25 by the second: four steps, and three
        memory["clean_probability"] = (np.arange(COUNT)[:, None] < (40, 25)).astype(np.float32)
    engine.memory = memory
    engine.begin_epoch(0, 2, 0.05)
    parts, done = [], 0
    for part in passes_of(config, engine.method, 0, 2, batches(data, config, 0, 2), memory):
        schedule = engine.method.schedule(2, part.indices.shape[1], 0.25)
        engine.prepare(part.indices, schedule, part.learns, part.stage)
        parts.append(engine.train(part.indices, schedule, done, part.learns, part.stage))
        done += len(part.indices)
        assert {len(values) for values in parts[-1].values()} == {len(part.indices)}
    return parts, engine.state()


@pytest.mark.parametrize(("method", "options"), [("elr-plus", {}), ("dividemix", {"warm_up": 1})])
def test_compiled_passes_are_those_of_a_plain_graph(
    method: str, options: dict[str, Any], tf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a pass of DivideMix is of several calls, of which the last one is not full
    monkeypatch.setattr("trainer.engine.tensorflow.STEPS_A_CALL", 2)
    (expected, state), (found, compiled_state) = (trained(method, compile, **options) for compile in (False, True))
    assert len(expected) == 2
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        for key, values in one.items():
            np.testing.assert_allclose(other[key], values, rtol=1e-4, atol=1e-4, err_msg=key)
    for key, values in state.items():
        np.testing.assert_allclose(compiled_state[key], values, rtol=1e-3, atol=1e-4, err_msg=key)
    if method == "dividemix":
        assert [len(part["samples"]) for part in expected] == [3, 4]
