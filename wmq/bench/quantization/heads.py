"""Two predictions of the same frames, head by head: the same choice, and how far they are apart.

Classes and bits have logits, which are distributions; numbers have none and are left out.
"""

from __future__ import annotations

import numpy as np

from wmq.errors import WmqError
from wmq.evaluation.results import HeadFigure
from wmq.game.schema import Schema
from wmq.game.targets import NUMBER_HEADS, PLAYERS, Heads


def logit_heads(schema: Schema) -> list[str]:
    return [name for name in schema.heads if name not in NUMBER_HEADS]


class Agreement:
    """Two sides of T frames of one game; rows of frames not yet added are zeros.

    kl    (T, heads) float64, in nats, from the true distribution to ours; of all bits together
    same  (T, heads) float64, 1 where the argmax is the same; of bits the share with that sign
    """

    def __init__(self, schema: Schema, steps: int):
        self.heads = logit_heads(schema)
        self.kl = np.zeros((steps, len(self.heads)))
        self.same = np.zeros((steps, len(self.heads)))

    def add(self, first: int, true: Heads, ours: Heads) -> None:
        """Compare heads (rows, width) from row `first` on.

        Raises WmqError if ours are no numbers.
        """
        for name, values in ours.items():
            if not np.isfinite(values).all():
                raise WmqError(f"head {name}: not finite")
        rows = slice(first, first + len(true["binary"]))
        for at, name in enumerate(self.heads):
            if name == "binary":
                self.kl[rows, at] = bits_divergence(true[name], ours[name]).sum(1)
                self.same[rows, at] = ((true[name] > 0) == (ours[name] > 0)).mean(1)
            else:
                self.kl[rows, at] = divergence(true[name], ours[name])
                self.same[rows, at] = true[name].argmax(1) == ours[name].argmax(1)

    @property
    def actions(self) -> np.ndarray:
        """Tell whether the action is the same, (T, players) float64."""
        return self.same[:, [self.heads.index(f"{player}.action") for player in PLAYERS]]


def head_figures(games: list[Agreement]) -> dict[str, HeadFigure]:
    """Summarize all frames of all games; the percentile is that of numpy, exact."""
    kl = np.concatenate([game.kl for game in games])
    same = 100 * np.concatenate([game.same for game in games]).mean(0)
    ninety_nine = np.percentile(kl, 99, axis=0)
    columns = zip(games[0].heads, same, kl.mean(0), ninety_nine, kl.max(0), strict=True)
    return {name: HeadFigure(*map(float, figures)) for name, *figures in columns}


def divergence(true: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Compute KL(softmax(true) || softmax(ours)) of each row, nats; logits (T, classes)."""
    p, q = _log_softmax(true), _log_softmax(ours)
    q -= p
    return np.maximum(-(np.exp(p, out=p) * q).sum(1), 0)


def bits_divergence(true: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Compute KL(Bernoulli(sigmoid(true)) || Bernoulli(sigmoid(ours))) of each logit, nats."""
    true, ours = true.astype(np.float64), ours.astype(np.float64)
    yes = np.exp(-np.logaddexp(0, -true))
    no = np.exp(-np.logaddexp(0, true))
    found = yes * (np.logaddexp(0, -ours) - np.logaddexp(0, -true))
    found += no * (np.logaddexp(0, ours) - np.logaddexp(0, true))
    return np.maximum(found, 0)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    return shifted
