"""Run a program on the oracle with every store checked: the reference interpreter.

Each number that is written must lie in the declared interval of its value, or ProgramError
is raised; nothing ever wraps.  So agreement with the reference also shows that nothing
overflowed.  It imports neither the engine nor the range proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wmq_kernels.errors import ProgramError
from wmq_kernels.exact import Ints
from wmq_kernels.isa import TABLE
from wmq_kernels.oracle import ORACLE
from wmq_kernels.program import DRAWS, Draws, Program, Slice, Step


@dataclass(frozen=True)
class Rollout:
    """made: what is fed back, of each step; heads likewise, or None if not asked for."""

    made: list[Ints]
    heads: list[Ints] | None
    saturations: Ints  # per step of the program, since the Reference was made

    @property
    def frames(self) -> list[Ints]:
        """What a world made: its frames."""
        return self.made


class Reference:
    """Runs a program; consecutive runs go on from the state that the last one left."""

    def __init__(self, program: Program) -> None:
        _check_order(program)
        self.program = program
        self.values = {name: [0] * value.size for name, value in program.values.items()}
        for name, array in program.data.items():
            self.values[name] = array.tolist()
        self.saturations = [0] * len(program.steps)

    @property
    def state(self) -> dict[str, Ints]:
        """The values that live from frame to frame."""
        kinds = self.program.values
        return {name: list(v) for name, v in self.values.items() if kinds[name].kind == "state"}

    def run(
        self,
        given: Sequence[Sequence[int]],
        inputs: Sequence[Sequence[int]],
        frames: int,
        heads: bool = False,
        draws: Draws | None = None,
    ) -> Rollout:
        """Run frames 0..frames-1.

        A world's present frame is given[t] while there is one, then the last next_frame; row
        t of the inputs holds the controllers of frame t, row t + 1 the next.  Of an agent the
        controllers are given and fed back, and row t of the inputs is the frame that it sees.
        """
        roles = self.program.roles
        rows = self._drawn(frames, draws)
        if not 1 <= len(given) <= frames or len(inputs) != roles.rows(frames):
            raise ProgramError(f"{frames} frames need 1 to {frames} rows of {roles.fed} and "
                               f"{roles.rows(frames)} of {roles.inputs[0]}")  # fmt: skip
        for row in given:
            self._check_port(roles.fed, row)
        for name in roles.inputs:
            for row in inputs:
                self._check_port(name, row)
        made: list[Ints] = []
        seen: list[Ints] = []
        for t in range(frames):
            self.values[roles.fed] = list(given[t] if t < len(given) else made[-1])
            for k, name in enumerate(roles.inputs):
                self.values[name] = list(inputs[t + k])
            for name, drawn in rows.items():
                self.values[name] = list(drawn[t])
            for number, step in enumerate(self.program.steps):
                self._execute(number, step)
            made.append(list(self.values[roles.made]))
            seen.append(list(self.values["heads"]))
        return Rollout(made, seen if heads else None, list(self.saturations))

    def _drawn(self, frames: int, draws: Draws | None) -> dict[str, list[Ints]]:
        """The rows of each port of draws."""
        if (draws is not None) != bool(self.program.draws):
            raise ProgramError("draws are for programs with the ports words and forced, and "
                               "these need them")  # fmt: skip
        if draws is None:
            return {}
        rows = {name: getattr(draws, name).tolist() for name in DRAWS}
        for name, drawn in rows.items():
            if len(drawn) != frames:
                raise ProgramError(f"{name}: {len(drawn)} rows for {frames} frames")
            for row in drawn:
                self._check_port(name, row)
        return rows

    def _check_port(self, name: str, numbers: Sequence[int]) -> None:
        value = self.program.values[name]
        if len(numbers) != value.size:
            raise ProgramError(f"{name}: {len(numbers)} numbers, wanted {value.size}")
        self._check(name, numbers, name)

    def _check(self, name: str, numbers: Sequence[int], where: str) -> None:
        value = self.program.values[name]
        if not value.lo <= min(numbers) <= max(numbers) <= value.hi:
            raise ProgramError(f"{where}: [{min(numbers)}, {max(numbers)}] leaves the interval "
                               f"[{value.lo}, {value.hi}] of {name}")  # fmt: skip

    def _execute(self, number: int, step: Step) -> None:
        rule = TABLE[step.op]
        where = f"steps[{number}] ({step.op})"
        operands = {o.name: self._read(step.operands[o.name])
                    for o in rule.operands if o.access != "write"}  # fmt: skip
        try:
            written, saturated = ORACLE[step.op](**operands, **step.parameters)
        except ProgramError as error:
            raise ProgramError(f"{where}: {error}") from None
        for name, numbers in written.items():
            at = step.operands[name]
            if len(numbers) != at.count:
                raise ProgramError(f"{where}.{name}: {len(numbers)} elements, not {at.count}")
            self._check(at.value, numbers, f"{where}.{name}")
            self.values[at.value][at.start : at.start + at.count] = numbers
        self.saturations[number] += saturated

    def _read(self, at: Slice) -> Ints:
        whole = self.values[at.value]
        return whole if at.count == len(whole) else whole[at.start : at.start + at.count]


def _check_order(program: Program) -> None:
    """Within a frame, a temp is written before it is read, each element of it."""
    fresh = {name: bytearray(v.size) for name, v in program.values.items() if v.kind == "temp"}
    for name in (program.roles.fed, *program.roles.inputs, *program.draws):
        fresh[name] = bytearray(b"\1" * len(fresh[name]))
    for number, step in enumerate(program.steps):
        for operand in sorted(TABLE[step.op].operands, key=lambda o: o.access == "write"):
            at = step.operands[operand.name]
            if at.value not in fresh:
                continue
            place = slice(at.start, at.start + at.count)
            if operand.access == "write":
                fresh[at.value][place] = b"\1" * at.count
            elif not all(fresh[at.value][place]):
                raise ProgramError(f"steps[{number}] ({step.op}).{operand.name}: "
                                   f"{at.value} is read before it is written")  # fmt: skip
    for name in (program.roles.made, "heads"):
        if not all(fresh[name]):
            raise ProgramError(f"{name}: not written in whole")
