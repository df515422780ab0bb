"""Hold the frames of a rollout, their controllers and their hash; make tables and files."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wmq.api.checks import FilePath, file_path
from wmq.errors import WmqError
from wmq.extras import require
from wmq.game.natural import natural_frames
from wmq.game.schema import Schema
from wmq.rollout.files import as_rollout, check_output, read_rollout, write_rollout
from wmq.rollout.rollout import Rollout
from wmq.rollout.table import arrow_table, columns_of
from wmq.verification.recompute import altered_worlds

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Trajectory:
    """n new frames of one world, or of several worlds from the same start.

    Arrays are (n, ..) for one world, and (worlds, n, ..) where `worlds` was asked for.
    """

    def __init__(self, rollout: Rollout, several: bool, model: Path | None):
        """Hold a rollout; `model` is the file that made it, None if only its hash is known."""
        self._rollout, self._several, self._model = rollout, several, model

    @classmethod
    def read(cls, path: FilePath) -> Trajectory:
        """Read a .npz of `save` or of `wmq rollout -o`; of several worlds, if it has them.

        `saturations` is None: the file has no count of them.
        Raises WmqError if the file is damaged, or its frames do not have the hash in it.
        """
        stored = read_rollout(file_path("path", path))
        if altered := altered_worlds(stored):
            raise WmqError(f"{stored.path}: the frames of world {altered[0]} do not have the hash "
                           "in the file; make it again, or see `wmq verify`")  # fmt: skip
        return cls(as_rollout(stored), len(stored.worlds) > 1, None)

    @cached_property
    def frames(self) -> np.ndarray:
        """Records of `frame_dtype`, as frames["p1"]["percent"]; made at the first access."""
        return natural_frames(self.schema, self.integers)

    @cached_property
    def integers(self) -> np.ndarray:
        """The integer frames, (.., frame_size) int32."""
        return self._of_worlds([world.frames for world in self._rollout.worlds])

    @cached_property
    def controllers(self) -> np.ndarray:
        """(.., 26) int32: row t is what frame t was computed from."""
        return self._of_worlds([world.controllers for world in self._rollout.worlds])

    @property
    def frame_ids(self) -> np.ndarray:
        """Numbers of the frames, (n,) int64; the first new frame of a match is -122."""
        first = self._rollout.start.first
        return np.arange(first, first + len(self._rollout.worlds[0].frames))

    @property
    def schema(self) -> Schema:
        """The fields of a frame, with their units and intervals."""
        return self._rollout.schema

    @property
    def sha256(self) -> str:
        """The `rollout_sha256` that `wmq rollout` and `wmq verify` print, hex."""
        return self._rollout.sha256

    @property
    def saturations(self) -> int | None:
        """Values clamped inside the program in all worlds; None for a float model, or if read."""
        return self._rollout.saturations

    def to_arrow(self) -> pa.Table:
        """Make a table: a row a frame and world, a column a field in natural units.

        Each column's metadata has its unit and quantum.

        Raises WmqError if pyarrow is not installed.
        """
        require("to_arrow()", ["pyarrow"])
        return arrow_table(self._rollout)

    def to_pandas(self) -> pd.DataFrame:
        """Give the columns of `to_arrow` to pandas.  Raises WmqError without pandas."""
        if find_spec("pandas") is None:
            raise WmqError("to_pandas() needs pandas: pip install pandas")
        import pandas as pd

        columns = columns_of(self._rollout)
        return pd.DataFrame({name: column.values for name, column in columns.items()})

    def save(self, path: FilePath) -> None:
        """Write what `wmq rollout -o` writes: .npz for `wmq verify`; .csv, .arrow or .parquet.

        Raises WmqError.
        """
        write_rollout(check_output(file_path("path", path), "path"), self._rollout)

    def __len__(self) -> int:
        """Count the frames of each world."""
        return len(self._rollout.worlds[0].frames)

    def __repr__(self) -> str:
        worlds = f"{len(self._rollout.worlds)} worlds of " if self._several else ""
        return f"<Trajectory of {worlds}{len(self):,} frames: {self._rollout.start.label}>"

    def _of_worlds(self, arrays: list[np.ndarray]) -> np.ndarray:
        return np.stack(arrays) if self._several else arrays[0]
