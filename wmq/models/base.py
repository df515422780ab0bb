"""Begin a model with the weights of another, which may predict other fields."""

from __future__ import annotations

import msgspec
import torch

from calib.step.graph import StepModel
from calib.step.schema import NUMBER_HEADS
from calib.step.sizes import module_name
from wmq.models.presets import ModelConfig
from wmq.models.world import WorldModel

RARE = -8.0  # bias of a class that the other model does not have


def fits(base: ModelConfig, config: ModelConfig) -> bool:
    """Tell whether the layers of two models are of one size; their heads may differ."""
    return msgspec.structs.replace(base, d_mix=config.d_mix) == config


def model_of(step: StepModel) -> WorldModel:
    """Make the torch model of a float step whose schema is one of this program."""
    model = WorldModel(ModelConfig(**step.config))
    weights = {name: torch.from_numpy(array.copy()) for name, array in step.weights.items()}
    model.load_state_dict(weights)
    return model


@torch.no_grad()
def begin_from(model: WorldModel, base: WorldModel) -> None:
    """Copy all weights that mean the same in both models; the others stay as they are.

    An embedding of more classes than the other's has its last row for those that are new; a
    head's new classes are rare.  Number heads of another version are not copied: its rules make
    them mean something else.
    """
    own, theirs = model.state_dict(), base.state_dict()
    same = model.schema.version == base.schema.version
    numbers = tuple(start for head in NUMBER_HEADS
                    for start in (f"heads.{module_name(head)}.", f"{head}_"))  # fmt: skip
    for name, value in theirs.items():
        if name not in own or (name.startswith(numbers) and not same):
            continue
        mine, rows = own[name], len(value) if value.ndim else 0
        if mine.shape == value.shape:
            mine.copy_(value)
        elif mine.shape[1:] == value.shape[1:] and len(mine) > rows:
            mine[:rows] = value
            if name.startswith("embeddings."):
                mine[rows:] = value[-1]
            elif name.endswith(".bias"):
                mine[rows:] = RARE
    model.load_state_dict(own)
