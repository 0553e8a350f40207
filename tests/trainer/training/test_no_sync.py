"""TensorFlow's half of "no host synchronisation inside an epoch": one call of one traced function, read once.

JAX's half needs a process of its own: tests/trainer/engine/test_jax.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tiny import batches, run_config, tensorflow_engine, training_data
from trainer.methods import METHODS

HOST_OPERATIONS = ("PyFunc", "Print", "HostCall", "Dataset", "Iterator", "_Send", "_Recv", "Save", "WriteFile")
"""Parts of the names of operations by which a graph would reach out to the host."""


def prepare(engine: Any, epoch: int) -> tuple[Any, dict[str, float]]:
    """An epoch's mini-batches and schedule."""
    engine.begin_epoch(0, epoch, 0.05)
    indices = batches(engine.data, engine.config, 0, epoch)
    return indices, engine.method.schedule(epoch, indices.shape[1], 0.25)


@pytest.fixture(scope="module", params=METHODS)
def engine(request: pytest.FixtureRequest, tf: Any) -> Any:
    """The engine of a method, which has trained for an epoch."""
    engine = tensorflow_engine(run_config(request.param, batch_size=8), training_data())
    engine.train(*prepare(engine, 0))
    return engine


@pytest.fixture
def reads(tf: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An entry for each time that the host looks into a tensor: numpy(), numbers and truth values all end there."""
    seen: list[str] = []
    (kind,) = (kind for kind in type(tf.constant(0)).__mro__ if "_numpy" in vars(kind))
    real = vars(kind)["_numpy"]

    def watched(tensor: Any) -> Any:
        seen.append("read")
        return real(tensor)

    monkeypatch.setattr(kind, "_numpy", watched)
    return seen


def test_the_watch_sees_every_kind_of_reading(tf: Any, reads: list[str]) -> None:
    tensor = tf.constant(1.0) + 1.0
    for look in (lambda: tensor.numpy(), lambda: float(tensor), lambda: bool(tensor > 1), lambda: int(tensor)):
        before = len(reads)
        look()
        assert len(reads) > before


def test_an_epoch_is_one_call_of_one_traced_function_and_is_read_once(
    engine: Any, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    indices, schedule = prepare(engine, 1)
    ((learns, program),) = engine._programs.items()
    compiled, events = program.epoch, reads
    events.clear()

    def call(*arguments: Any) -> Any:
        events.append("call")
        sums = compiled(*arguments)
        events.append("return")
        return sums

    monkeypatch.setitem(engine._programs, learns, program._replace(epoch=call))
    sums = engine.train(indices, schedule)
    assert events == ["call", "return", "read"]
    assert all(values.shape == (len(indices),) and len(indices) > 2 for values in sums.values())
    assert compiled.experimental_get_tracing_count() == 1
    assert program.step.experimental_get_tracing_count() == 1


def test_no_operation_of_the_traced_epoch_reaches_out_to_the_host(tf: Any, engine: Any) -> None:
    (program,) = engine._programs.values()
    graph = program.epoch.get_concrete_function().graph.as_graph_def()
    operations = {node.op for node in graph.node}
    operations |= {node.op for function in graph.library.function for node in function.node_def}
    assert {"Conv2D", "ResourceScatterUpdate"} <= operations
    assert any(operation in operations for operation in ("While", "StatelessWhile")), "the steps are a loop in it"
    assert not {operation for operation in operations if any(host in operation for host in HOST_OPERATIONS)}
