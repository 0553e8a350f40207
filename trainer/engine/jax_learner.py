"""What a network and its optimizer compute in JAX: pure functions of the values that Keras' variables stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax

from trainer.engine.variables import Network, Optimizer, dropout_seeds
from trainer.methods.base import Tensor, Update
from trainer.networks.layers import batch_norm_over

Values = dict[str, Tensor]
"""jax.Array by the names of `variables.named_variables`."""
Forward = tuple[Tensor, Callable[[Tensor], tuple[list[Tensor]]], Values]
"""Of a pass in training mode: (B, K) logits; what takes their gradient to the weights'; new statistics and seeds."""


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
        lists = (network.trainable_variables, network.non_trainable_variables, seeds, optimizer.variables)
        return cls(network, optimizer, *(tuple(names[id(variable)] for variable in part) for part in lists))

    def forward(self, values: Values, images: Tensor) -> Forward:
        """A pass in training mode: (B, K) logits; what takes their gradient back; new statistics and seeds."""
        fixed = [values[name] for name in self.fixed]

        def call(trainable: list[Tensor]) -> tuple[Tensor, Values]:
            logits, changed = self.network.stateless_call(trainable, fixed, images, training=True)
            return logits, dict(zip(self.fixed, changed, strict=True))

        return jax.vjp(call, [values[name] for name in self.trainable], has_aux=True)

    def second_forward(self, values: Values, images: Tensor, update: Update) -> Forward:
        """The same of a pass in which batch norm sees the samples of the update alone."""
        with batch_norm_over(update.samples):
            return self.forward(values, images)

    def seeds_of(self, fixed: Values) -> Values:
        """The dropout seeds of what a pass has changed."""
        return {name: fixed[name] for name in self.seeds}

    def classify(self, values: Values, images: Tensor) -> Tensor:
        """(B, K) logits."""
        trainable, fixed = ([values[name] for name in names] for names in (self.trainable, self.fixed))
        return self.network.stateless_call(trainable, fixed, images, training=False)[0]

    def updated(self, values: Values, gradients: list[Tensor], weight_decay: float) -> Values:
        """Add the gradient of ½ weight decay ‖v‖² over all trainable variables v, and take the optimizer's step."""
        trainable = [values[name] for name in self.trainable]
        decayed = [gradient + weight_decay * value for gradient, value in zip(gradients, trainable, strict=True)]
        slots = [values[name] for name in self.slots]
        trainable, slots = self.optimizer.stateless_apply(slots, decayed, trainable)
        return dict(zip((*self.trainable, *self.slots), (*trainable, *slots), strict=True))
