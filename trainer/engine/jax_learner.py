"""What a network and its optimizer compute in JAX: pure functions of the values that Keras' variables stand for."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import jax

from trainer.engine.variables import Network, Optimizer, dropout_seeds
from trainer.networks.layers import batch_norm_over
from trainer.ops import Tensor

Values = dict[str, Tensor]
"""jax.Array by the names of `variables.named_variables`."""


@dataclass(frozen=True)
class Learner:
    """A network and its optimizer as pure functions, and the names of their values.

    Attributes:
        trainable, fixed: names of the network's trainable variables, and of its batch-norm statistics and dropout
            seeds. seeds: of the last alone. slots: of the optimizer's variables.
    """

    network: Network
    optimizer: Optimizer
    trainable: tuple[str, ...]
    fixed: tuple[str, ...]
    seeds: tuple[str, ...]
    slots: tuple[str, ...]

    @classmethod
    def of(cls, network: Network, optimizer: Optimizer, names: dict[int, str]) -> Learner:
        """`names`: of variables by their `id`."""
        seeds = [seed.state for seed in dropout_seeds(network)]
        slots = [] if optimizer is None else optimizer.variables
        lists = (network.trainable_variables, network.non_trainable_variables, seeds, slots)
        return cls(network, optimizer, *(tuple(names[id(variable)] for variable in part) for part in lists))

    def classify(self, values: Values, images: Tensor) -> Tensor:
        """(B, K) float32 logits in evaluation mode."""
        trainable, fixed = ([values[name] for name in names] for names in (self.trainable, self.fixed))
        return self.network.stateless_call(trainable, fixed, images, training=False)[0].astype("float32")

    def updated(self, values: Values, gradients: list[Tensor], penalty: float, shrinkage: Tensor | None) -> Values:
        """Add the gradient of ½ penalty ‖v‖² over all trainable variables v, and take the optimizer's step.

        Args:
            shrinkage: the share of themselves that the variables lose beside; None for none.
        """
        trainable = [values[name] for name in self.trainable]
        decayed = [gradient + penalty * value for gradient, value in zip(gradients, trainable, strict=True)]
        if shrinkage is not None:
            trainable = [(1.0 - shrinkage) * value for value in trainable]
        slots = [values[name] for name in self.slots]
        trainable, slots = self.optimizer.stateless_apply(slots, decayed, trainable)
        return dict(zip((*self.trainable, *self.slots), (*trainable, *slots), strict=True))


class TracedNetwork:
    """A network in a step. The contract is `trainer.methods.base.Network`.

    Attributes:
        fixed: batch-norm statistics and dropout seeds after the passes so far, by name, those of the average too.
    """

    def __init__(self, learner: Learner, trainable: list[Tensor], values: Values, average: Learner | None) -> None:
        """`trainable`: values of the trainable variables, through which a gradient is taken."""
        self._learner, self._trainable, self._average, self._values = learner, trainable, average, values
        names = (*learner.fixed, *(() if average is None else average.fixed))
        self.fixed: Values = {name: values[name] for name in names}

    def __call__(self, images: Tensor, samples: Tensor | None = None) -> Tensor:
        with nullcontext() if samples is None else batch_norm_over(samples):
            return self._forward(self._learner, self._trainable, images)

    def score(self, images: Tensor) -> Tensor:
        before = self.fixed
        logits = self.frozen(images)
        # dropout goes on, so that the next pass has masks of its own
        self.fixed = {**before, **{name: self.fixed[name] for name in self._learner.seeds}}
        return logits

    def frozen(self, images: Tensor) -> Tensor:
        return self._forward(self._learner, jax.lax.stop_gradient(self._trainable), images)

    def evaluate(self, images: Tensor) -> Tensor:
        values = dict(zip(self._learner.trainable, self._trainable, strict=True)) | self.fixed
        return jax.lax.stop_gradient(self._learner.classify(values, images))

    def averaged(self, images: Tensor) -> Tensor:
        assert self._average is not None, "the method declares no average_decay"
        trainable = [self._values[name] for name in self._average.trainable]
        return jax.lax.stop_gradient(self._forward(self._average, trainable, images))

    def _forward(self, learner: Learner, trainable: list[Tensor], images: Tensor) -> Tensor:
        fixed = [self.fixed[name] for name in learner.fixed]
        logits, changed = learner.network.stateless_call(trainable, fixed, images, training=True)
        self.fixed = {**self.fixed, **dict(zip(learner.fixed, changed, strict=True))}
        return logits.astype("float32")
