"""The training methods. Adding one: a file with a `Method`, and a line in METHODS."""

from __future__ import annotations

from trainer.methods.active_bias import ActiveBias
from trainer.methods.apl import Apl
from trainer.methods.base import Method
from trainer.methods.bootstrapping import Bootstrapping
from trainer.methods.co_teaching import CoTeaching
from trainer.methods.co_teaching_plus import CoTeachingPlus
from trainer.methods.default import Default
from trainer.methods.dividemix import DivideMix
from trainer.methods.elr import Elr
from trainer.methods.elr_plus import ElrPlus
from trainer.methods.forward import Forward
from trainer.methods.gce import Gce
from trainer.methods.jocor import Jocor
from trainer.methods.label_smoothing import LabelSmoothing
from trainer.methods.mixup import Mixup
from trainer.methods.sce import Sce
from trainer.methods.selfie import Selfie
from trainer.methods.sop import Sop

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Default,
        ActiveBias,
        CoTeaching,
        Selfie,
        LabelSmoothing,
        Bootstrapping,
        Gce,
        Sce,
        Apl,
        Elr,
        CoTeachingPlus,
        Jocor,
        Forward,
        Mixup,
        Sop,
        ElrPlus,
        DivideMix,
    )
}
