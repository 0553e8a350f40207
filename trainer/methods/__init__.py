"""The training methods. Adding one: a file with a `Method`, and a line in METHODS."""

from __future__ import annotations

from trainer.methods.active_bias import ActiveBias
from trainer.methods.base import Method
from trainer.methods.co_teaching import CoTeaching
from trainer.methods.default import Default
from trainer.methods.selfie import Selfie

METHODS: dict[str, type[Method]] = {method.name: method for method in (Default, ActiveBias, CoTeaching, Selfie)}
