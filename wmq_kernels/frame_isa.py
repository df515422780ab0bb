"""Write down the instructions that hold a frame to the game's rules: clocks, ends, places, speeds.

They are the last rows of `isa.ROWS`, each as the texts that make it: name, operands, parameters,
formula, proof and note.
"""

from __future__ import annotations

FRAME_ROWS: tuple[tuple[str, ...], ...] = (
    ("timed",
     "state:i32:read:one, age:i32:read:one, forced:i32:read:one, last:i32:const:entries, "
     "next:i32:const:entries, out:i32:write:one",
     "one entries",
     "k = min(max(state[0], 0), entries - 1); out[0] = forced[0] if forced[0] >= 0 or last[k] "
     "< 0, else next[k] if age[0] >= last[k], else k",
     "out = [min(lo(forced), min(next), 0), max(hi(forced), max(next), entries - 1)]",
     "A state with a clock is kept until its age has reached last, then it becomes next. A "
     "last below 0 means that the state has no clock: forced is handed on. So out can be the "
     "forced of a sample."),
    ("cross",
     "before:i32:read:one, after:i32:read:one, index:i32:read:one, x:i32:read:axes, "
     "push:i32:read:one, least:i32:const:entries*axes, most:i32:const:entries*axes, "
     "need:i32:const:sides, fate:i32:const:states*sides, out:i32:write:one",
     "one entries axes sides states",
     "k = min(max(index[0], 0), entries - 1); b = min(max(before[0], 0), states - 1); side 2 * "
     "a is crossed if x[a] < least[k, a] and push[0] >= need[2 * a]; side 2 * a + 1 is crossed "
     "if x[a] > most[k, a] and push[0] >= need[2 * a + 1]; out[0] = fate[b, s] for the lowest "
     "s that is crossed and has fate[b, s] >= 0, after[0] if there is none",
     "sides is 2 * axes; out = [min(lo(after), min_j(f_j)), max(hi(after), max_j(f_j))] with f "
     "the elements of fate that are >= 0, [lo(after), hi(after)] if there are none",
     "Whoever leaves the box of an entry becomes what the fate of the side says, if enough "
     "pushes. A place exactly on an end is inside."),
    ("strike",
     "state:i32:read:one, age:i32:read:one, x:i32:read:one, at:i32:const:entries, "
     "out:i32:write:one",
     "one entries",
     "k = min(max(state[0], 0), entries - 1); out[0] = max(x[0] - 1, 0) if age[0] = at[k], "
     "else x[0]",
     "out = [min(lo(x), max(lo(x) - 1, 0)), max(hi(x), 0)]",
     "A count that falls by one at a certain age of a state. If age is never negative, an at "
     "of -1 means never."),
    ("frame_down",
     "now:i32:read:n, value:i32:read:n, least:i32:const:n, most:i32:const:n, "
     "out:i32:write:n",
     "n",
     "v = min(max(round_shift(value[i], 16), least[i]), most[i]); out[i] = v if v > now[i], "
     "else min(max(now[i] - 1, least[i]), most[i])",
     "least[i] <= most[i] for each i; out = [min(least), max(most)]",
     "value has 16 fraction bits. A count that falls by one a frame unless value raises it: "
     "a v that only equals now does not."),
    ("frame_move",
     "now:i32:read:n, change:i32:read:n, speed:i32:read:n, push:i32:read:n, "
     "still:i32:read:one, least:i32:const:n, most:i32:const:n, out:i32:write:n",
     "n one",
     "v = now[i] + change[i] + (speed[i] + push[i] if still[0] = 0, else 0); out[i] = "
     "min(max(v, least[i]), most[i])",
     "least[i] <= most[i] for each i; out = [min(least), max(most)]",
     "The sum of four int32 is exact in int64."),
    ("threshold",
     "x:i32:read:n, least:i32:const:n, out:i32:write:n",
     "n",
     "out[i] = 0 if -least[i] < x[i] < least[i], else x[i]",
     "0 <= least; out = [min(lo(x), 0), max(hi(x), 0)]",
     "A change too small to be one is none: otherwise a rollout's numbers wander where the "
     "game's stand still. With a least of 0 or 1 every x stays."),
    ("blank",
     "x:i32:read:n, first:i32:read:one, second:i32:read:one, out:i32:write:n",
     "n one",
     "out[i] = 0 if first[0] != 0 and second[0] != 0, else x[i]",
     "out = [min(lo(x), 0), max(hi(x), 0)]"),
    ("stand",
     "x:i32:read:one, flag:i32:read:one, row:i32:read:one, column:i32:read:one, "
     "table:i32:const:rows*columns, out:i32:write:one",
     "one rows columns reach",
     "t = table[min(max(row[0], 0), rows - 1), min(max(column[0], 0), columns - 1)]; out[0] = "
     "t if flag[0] != 0 and t != -2^31 and |x[0] - t| <= reach, else x[0]",
     "out = [min(lo(x), min_j(t_j)), max(hi(x), max_j(t_j))] with t the elements of table that "
     "are not -2^31, [lo(x), hi(x)] if there are none",
     "A place that is known exactly is taken where it is near. An element of -2^31 means that "
     "none is known. The distance of two int32 is exact in int64."),
    ("inside",
     "x:i32:read:one, flag:i32:read:one, row:i32:read:one, column:i32:read:one, "
     "least:i32:const:rows*columns, most:i32:const:rows*columns, out:i32:write:one",
     "one rows columns",
     "k = min(max(row[0], 0), rows - 1), j = min(max(column[0], 0), columns - 1); out[0] = "
     "flag[0] if least[k, j] <= x[0] <= most[k, j], else 0",
     "out = [min(lo(flag), 0), max(hi(flag), 0)]",
     "A flag that holds between two ends alone."),
    ("fall",
     "x:i32:read:one, still:i32:read:one, flag:i32:read:one, state:i32:read:one, "
     "row:i32:read:one, weighs:i32:const:states, gravity:i32:const:entries, "
     "terminal:i32:const:entries, out:i32:write:one",
     "one states entries",
     "k = min(max(row[0], 0), entries - 1); a = min(max(state[0], 0), states - 1); out[0] = "
     "x[0] if still[0] != 0 or flag[0] != 0 or weighs[a] = 0 or x[0] < -terminal[k], else "
     "max(x[0] - gravity[k], -terminal[k])",
     "0 <= gravity; 0 <= terminal; out = [min(lo(x), min_k(max(lo(x) - gravity[k], "
     "-terminal[k]))), hi(x)]",
     "A speed that is pulled down as far as a terminal speed, unless its owner is held in "
     "place, is on the ground or does what does not fall. One that is beyond the terminal "
     "speed already stays. out never exceeds x."),
    ("fade",
     "x:i32:read:n, still:i32:read:one, flag:i32:read:one, out:i32:write:n",
     "n one amount",
     "m = isqrt(sum_i x[i]^2); out[i] = x[i] if still[0] != 0 or flag[0] != 0, else 0 if m <= "
     "amount, else floor((2 * x[i] * (m - amount) + m) / (2 * m))",
     "squares = n * size(x)^2 <= 2^63 - 1; product = 2 * size(x) * isqrt(squares) + "
     "isqrt(squares) <= 2^63 - 1; out = [min(lo(x), 0), max(hi(x), 0)]",
     "A vector that becomes shorter by amount and keeps its direction: x[i] * (m - amount) / "
     "m, to nearest, a half goes up. That lies between 0 and x[i], and so does out. m is the "
     "length, rounded down; where it is 0, so is out."),
    ("hold_above",
     "x:i32:read:one, before:i32:read:one, y:i32:read:one, row:i32:read:one, "
     "least:i32:const:entries, most:i32:const:entries, level:i32:const:entries, "
     "out:i32:write:one",
     "one entries",
     "k = min(max(row[0], 0), entries - 1); out[0] = level[k] if before[0] >= level[k] > y[0] "
     "and least[k] <= x[0] <= most[k], else y[0]",
     "out = [lo(y), max(hi(y), max(level))]",
     "Who was not below a floor does not sink through it between its ends. A least that "
     "exceeds most means that there is none."),
    ("override",
     "state:i32:read:one, flag:i32:read:one, x:i32:read:one, table:i32:const:entries, "
     "out:i32:write:one",
     "one entries",
     "k = min(max(state[0], 0), entries - 1); out[0] = table[k] if flag[0] = 0 and table[k] "
     ">= 0, else x[0]",
     "out = [min(lo(x), min_j(t_j)), max(hi(x), max_j(t_j))] with t the elements of table that "
     "are >= 0, [lo(x), hi(x)] if there are none",
     "What a state decides by itself. An element below 0 means that it does not."),
    ("near",
     "x:i32:read:one, flag:i32:read:one, row:i32:read:one, column:i32:read:one, "
     "table:i32:const:rows*columns, out:i32:write:one",
     "one rows columns reach",
     "t = table[min(max(row[0], 0), rows - 1), min(max(column[0], 0), columns - 1)]; out[0] = "
     "flag[0] if t = -2^31 or |x[0] - t| <= reach, else 0",
     "out = [min(lo(flag), 0), max(hi(flag), 0)]",
     "A flag that holds near a known place alone. An element of -2^31 means that none is "
     "known: the flag is handed on."),
    ("drift",
     "x:i32:read:one, still:i32:read:one, flag:i32:read:one, state:i32:read:one, "
     "row:i32:read:one, stick:i32:read:one, loose:i32:const:states, held:i32:const:states, "
     "friction:i32:const:rows*modes, walk:i32:const:rows*modes, most:i32:const:rows*modes, "
     "slope:i32:const:rows*modes, base:i32:const:rows*modes, out:i32:write:one",
     "one states rows modes",
     "a = min(max(state[0], 0), states - 1); k = min(max(row[0], 0), rows - 1); "
     "m = loose[a] if flag[0] = 0, else held[a]; out[0] = x[0] if still[0] != 0 or m < 0, else "
     "as follows; s = min(max(2 * stick[0] - 2^16, -2^16), 2^16); "
     "g = round_shift(most[k, m] * s, 16); "
     "d = friction[k, m] if |x[0]| <= walk[k, m], else 2 * friction[k, m]; "
     "slow = x[0] - min(max(x[0], -d), d); "
     "s = 0: out[0] = slow; "
     "s > 0: n = x[0] + round_shift(slope[k, m] * s, 16) + base[k, m], "
     "out[0] = max(slow, g) if x[0] > g, else min(n, g); "
     "s < 0: n = x[0] + round_shift(slope[k, m] * s, 16) - base[k, m], "
     "out[0] = min(slow, g) if x[0] < g, else max(n, g)",
     "-1 <= loose <= modes - 1; -1 <= held <= modes - 1; 0 <= friction; 0 <= walk; 0 <= most; "
     "0 <= slope; 0 <= base; out = [min(lo(x), 0, min_j(max(lo(x) - slope_j - base_j, "
     "-most_j))), max(hi(x), 0, max_j(min(hi(x) + slope_j + base_j, most_j)))]",
     "A speed that a stick pushes and friction slows. stick has 16 fraction bits, from 0, full "
     "left, to 2^16, full right: s is it from -1 to 1, g the speed that it asks for. A speed "
     "beyond g on g's own side slows down to it, by friction, which is doubled above walk; any "
     "other is pushed towards g and never past it. With the stick at rest it slows down to 0. A "
     "mode of -1 means that the state moves otherwise: x is handed on."),
)  # fmt: skip
