"""Both players of `wmq/Melee-v0`, as modules of PettingZoo offer their environments."""

from __future__ import annotations

from pettingzoo.utils.conversions import aec_wrapper_fn

from wmq.envs.parallel import MeleeParallelEnv as parallel_env
from wmq.envs.vector import MeleeSelfPlayVectorEnv as vector_env

env = aec_wrapper_fn(parallel_env)

__all__ = ["env", "parallel_env", "vector_env"]
