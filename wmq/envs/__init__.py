"""Environments for reinforcement learning in the integer world (docs/environments.md).

Importing this registers `wmq/Melee-v0`: in Gymnasium player 1 against an opponent, alone (`make`)
or in many worlds (`make_vec`), in PettingZoo both players (`make("parallel", ..)`).
"""

from wmq.extras import require

ID = "wmq/Melee-v0"


def _register() -> None:
    """Raises WmqError if a package of the extra is missing."""
    require("wmq.envs", ["gymnasium", "pettingzoo"])
    import gymnasium
    import pettingzoo

    gymnasium.register(
        ID,
        entry_point="wmq.envs.single:MeleeEnv",
        vector_entry_point="wmq.envs.vector:MeleeVectorEnv",
    )
    pettingzoo.register("parallel", ID, entry_point="wmq.envs.melee_v0:parallel_env")


_register()
