// The integer machine, version 3, after docs/SPEC.md: reads a file and runs frames.
import { createHash, randomUUID } from "node:crypto";

const ARRAY = { i8: Int8Array, i16: Int16Array, i32: Int32Array, i64: BigInt64Array };
const WIDTH = { i8: 1, i16: 2, i32: 4, i64: 8 };
const ROLES = { // L1
  world: { fed: "frame", inputs: ["controllers", "next_controllers"], made: "next_frame" },
  agent: { fed: "controllers", inputs: ["frame"], made: "next_controllers" },
};
const big = BigInt;
const roundShift = (v, s) => (s === 0n ? v : (v + (1n << (s - 1n))) >> s); // P2

function isqrt(v) {
  if (v < 2n) return v;
  let r = big(Math.floor(Math.sqrt(Number(v))));
  while (r * r > v) r -= 1n;
  while ((r + 1n) * (r + 1n) <= v) r += 1n;
  return r;
}

const floored = (a, b) => (a - (((a % b) + b) % b)) / b; // BigInt's own division cuts off

export const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export function read(bytes) { // F1 to F3; V1, V6
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (Buffer.compare(bytes.subarray(0, 8), Buffer.from([0x89, 0x57, 0x4d, 0x51, 13, 10, 26, 10])))
    throw new Error("magic");
  if (view.getUint32(8, true) !== 3) throw new Error("version");
  const end = 16 + view.getUint32(12, true);
  // Integers beyond 2^53 stand in parameters: they are read as BigInt through a mark that no string has.
  const mark = randomUUID(), token = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
  const marked = (t) => (/^-?\d{16,}$/.test(t) ? `"${mark}${t}"` : t);
  const text = bytes.subarray(16, end).toString("latin1").replace(token, marked);
  const unmarked = (_, v) => (typeof v === "string" && v.startsWith(mark) ? big(v.slice(mark.length)) : v);
  const header = JSON.parse(text, unmarked);
  let at = Math.ceil(end / 64) * 64;
  if (sha256(bytes.subarray(at)).toString("hex") !== header.data_sha256) throw new Error("digest");
  const values = {};
  for (const [name, type, shape, kind] of header.values) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (kind === "const") {
      const length = size * WIDTH[type];
      const copy = bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + at + length);
      values[name] = new ARRAY[type](copy);
      at += Math.ceil(length / 64) * 64;
    } else values[name] = new ARRAY[type](size);
  }
  return { header, values };
}

export class Machine {
  constructor(bytes) {
    this.sha256 = sha256(bytes);
    const { header, values } = read(bytes);
    this.header = header;
    this.values = values;
    this.rows = Object.fromEntries(header.values.map((row) => [row[0], row]));
    this.roles = ROLES["next_frame" in values ? "world" : "agent"];
    this.draws = ["words", "forced"].filter((name) => name in values);
    this.saturations = header.steps.map(() => 0);
    this.steps = header.steps.map(([op, operands, parameters]) => {
      const o = {};
      for (const [name, [value, start, count]] of Object.entries(operands))
        o[name] = values[value].subarray(start, start + count);
      const p = {};
      for (const [name, v] of Object.entries(parameters)) p[name] = big(v);
      return [OPS[op], o, p];
    });
  }

  check(numbers, ...ports) { // L6, of one row
    for (const port of ports) {
      const [, , , , lo, hi] = this.rows[port];
      if (numbers.length !== this.values[port].length || !numbers.every((v) => lo <= v && v <= hi))
        throw new Error(`run: ${port}`);
    }
  }

  frame(...rows) { // L3: a row for `fed`, for each of `inputs`, and for words and forced
    const { fed, inputs, made } = this.roles, ports = [fed, ...inputs, ...this.draws];
    if (rows.length !== ports.length) throw new Error(`run: ${ports.length} rows`);
    rows.forEach((row, k) => this.check(row, ...(inputs.includes(ports[k]) ? inputs : [ports[k]])));
    rows.forEach((row, k) => this.values[ports[k]].set(row));
    for (let k = 0; k < this.steps.length; k++) {
      const [op, o, p] = this.steps[k];
      counted = 0;
      op(o, p);
      this.saturations[k] += counted;
    }
    return this.values[made].slice();
  }
}

let counted = 0;
function clamp(v, lo, hi) {
  const c = v < lo ? lo : v > hi ? hi : v;
  if (c !== v) counted++;
  return c;
}
const min = (a, b) => (a < b ? a : b);
const max = (a, b) => (a > b ? a : b);
const N = Number;

function store(out, i, v) {
  out[i] = out instanceof BigInt64Array ? v : N(v);
}

function twoDigits(u, high, low, i) {
  const h = roundShift(u, 7n);
  high[i] = N(h);
  low[i] = N(u - 128n * h);
}

function row(weight, j, x) {
  let sum = 0;
  const n = x.length, at = j * n;
  for (let i = 0; i < n; i++) sum += weight[at + i] * x[i];
  return sum;
}

function requantize(o, p) {
  for (let i = 0; i < o.x.length; i++)
    store(o.out, i, clamp(roundShift(big(o.x[i]) * big(o.multiplier[i]), big(o.shift[i])), p.lo, p.hi));
}

function factor(o, p) {
  let t = p.eps;
  for (const v of o.x) t += big(v) * big(v);
  let e = 0n;
  while (t * 4n ** e < 1n << 60n) e++;
  return [p.numerator / isqrt(t * 4n ** e), e];
}

// What k is in the formulas: an index within a table.
const entry = (index, count) => Math.min(Math.max(index, 0), N(count) - 1);

function weight(behind, table, p) { // of a logit so far behind the greatest
  const u = roundShift(behind * p.multiplier, p.shift), q = u >> 8n, r = u & 255n;
  if (q >= p.entries - 1n) return 0n;
  const left = big(table[N(q)]), right = big(table[N(q) + 1]);
  return roundShift(left * 256n + (right - left) * r, 8n);
}

function odd(bits) { // whether an odd number of them is 1
  let found = false;
  for (; bits; bits &= bits - 1) found = !found;
  return found;
}

function scan(o, p, carry) {
  const heads = N(p.heads), states = N(p.d_state), dim = N(p.headdim);
  for (let h = 0; h < heads; h++) {
    const decay = big(o.decay[h]), gain = big(o.gain[h]);
    const total = [];
    for (let q = 0; q < dim; q++) total.push(o.skip[h] * big(o.x[h * dim + q]));
    for (let n = 0; n < states; n++) {
      const b = big(o.B[n]) << gain, c = big(o.C[n]);
      for (let q = 0; q < dim; q++) {
        const at = (h * states + n) * dim + q;
        let t = big(o.state[at]) * decay + big(o.drive[h * dim + q]) * b;
        if (carry) t += big(o.carry[at]) << 15n;
        const u = roundShift(t, 31n);
        const s = clamp(u, -p.limit, p.limit);
        o.state[at] = N(s);
        if (carry) o.carry[at] = N((t - (u << 31n)) >> 15n);
        total[q] += s * c;
      }
    }
    for (let q = 0; q < dim; q++)
      o.out[h * dim + q] = N(clamp(roundShift(total[q], big(o.shift[h])), p.lo, p.hi));
  }
}

const OPS = {
  digits(o) {
    for (let i = 0; i < o.x.length; i++) {
      const product = (big(o.x[i]) - big(o.offset[i])) * big(o.multiplier[i]);
      twoDigits(clamp(roundShift(product, big(o.shift[i])), -16256n, 16256n), o.high, o.low, i);
    }
  },
  embed(o, p) {
    const dim = N(p.dim), k = entry(o.index[0], p.classes);
    for (let i = 0; i < dim; i++) o.out[i] = o.table[k * dim + i];
  },
  dot(o) {
    for (let j = 0; j < o.out.length; j++) o.out[j] = o.bias[j] + row(o.weight, j, o.x);
  },
  dot_add(o, p) {
    const by = 2 ** N(p.shift);
    for (let j = 0; j < o.out.length; j++) o.out[j] = o.acc[j] + by * row(o.weight, j, o.x);
  },
  requantize_i8: requantize,
  requantize_i16: requantize,
  requantize_i32: requantize,
  add(o, p) {
    for (let i = 0; i < o.a.length; i++) o.out[i] = N(clamp(big(o.a[i]) + big(o.b[i]), p.lo, p.hi));
  },
  rms_norm(o, p) {
    const [m, e] = factor(o, p);
    for (let i = 0; i < o.x.length; i++)
      o.out[i] = N(clamp(roundShift(big(o.x[i]) * m, p.shift - e), p.lo, p.hi));
  },
  rms_norm_digits(o, p) {
    const [m, e] = factor(o, p);
    for (let i = 0; i < o.x.length; i++)
      twoDigits(clamp(roundShift(big(o.x[i]) * m, p.shift - e), -16256n, 16256n), o.high, o.low, i);
  },
  conv(o, p) {
    const n = N(p.n), past = N(p.past);
    for (let i = 0; i < n; i++) {
      let a = big(o.bias[i]) + big(o.weight_now[i]) * big(o.x[i]);
      for (let k = 0; k < past; k++) a += big(o.weight[k * n + i]) * big(o.history[k * n + i]);
      o.out[i] = N(clamp(roundShift(a * big(o.multiplier[i]), big(o.shift[i])), p.lo, p.hi));
    }
    o.history.copyWithin(0, n);
    o.history.set(o.x, (past - 1) * n);
  },
  silu(o, p) {
    const b = p.fraction - 7n;
    for (let i = 0; i < o.x.length; i++) {
      const x = big(o.x[i]), a = x < 0n ? -x : x;
      const k = min(a >> b, p.entries - 2n), r = min(a - (k << b), 1n << b);
      const left = big(o.table[N(k)]), right = big(o.table[N(k) + 1]);
      let g = (left << b) + (right - left) * r;
      if (x < 0n) g = (1n << (22n + b)) - g;
      o.out[i] = N(clamp(roundShift(x * g * p.multiplier, p.shift), p.lo, p.hi));
    }
  },
  softplus(o) {
    for (let i = 0; i < o.x.length; i++) {
      const a = big(o.x[i]) + (1n << 20n), k = a >> 10n, r = a - (k << 10n);
      const [t0, t1, t2] = [0, 1, 2].map((j) => big(o.table[N(k) + j]));
      const d = t1 - t0, c = t2 - 2n * t1 + t0;
      o.out[i] = N(roundShift((t0 << 21n) + ((d * r) << 11n) + c * r * (r - 1024n), 21n));
    }
  },
  decay(o, p) {
    for (let i = 0; i < o.dt.length; i++) {
      const v = roundShift(big(o.dt[i]) * big(o.rate[i]), 18n);
      const k = v >> 24n, j = (v >> 16n) & 255n, r = v & 65535n;
      if (k >= p.entries - 1n) { o.out[i] = 0; continue; }
      const c = o.coarse[N(k)];
      const e = (at) => (at === 256n ? o.coarse[N(k) + 1] : c - (((c >> 14n) * o.fine[N(at)]) >> 24n));
      o.out[i] = N(min(roundShift(e(j) * (65536n - r) + e(j + 1n) * r, 31n), (1n << 31n) - 1n));
    }
  },
  drive(o, p) {
    const dim = N(p.headdim);
    for (let h = 0; h < N(p.heads); h++)
      for (let q = h * dim; q < (h + 1) * dim; q++)
        o.out[q] = N(clamp(roundShift(big(o.x[q]) * big(o.dt[h]), big(o.shift[h])), p.lo, p.hi));
  },
  scan(o, p) { scan(o, p, false); },
  scan_carry(o, p) { scan(o, p, true); },
  gate(o, p) {
    for (let i = 0; i < o.a.length; i++)
      o.out[i] = N(clamp(roundShift(big(o.a[i]) * big(o.b[i]) * big(o.multiplier[i]), big(o.shift[i])), p.lo, p.hi));
  },
  frame_add(o) {
    for (let i = 0; i < o.now.length; i++)
      o.out[i] = Math.min(Math.max(o.now[i] + o.change[i], o.least[i]), o.most[i]);
  },
  frame_round(o) {
    for (let i = 0; i < o.now.length; i++) {
      const v = Math.min(Math.max(N(roundShift(big(o.value[i]), 16n)), o.least[i]), o.most[i]);
      o.out[i] = o.falling[i] === 1 ? Math.min(v, o.now[i]) : v;
    }
  },
  frame_sign(o) {
    for (let i = 0; i < o.x.length; i++) o.out[i] = o.x[i] > 0 ? 1 : 0;
  },
  argmax(o) {
    let best = 0;
    for (let i = 1; i < o.x.length; i++) if (o.x[i] > o.x[best]) best = i;
    o.out[0] = best;
  },
  age(o, p) {
    o.out[0] = o.after[0] !== o.before[0] ? 0 : Math.min(o.age[0] + 1, N(p.most));
  },
  copy(o) { o.out.set(o.x); },
  place(o, p) {
    const n = N(p.n), k = entry(o.index[0], p.entries);
    const event = N(p.event), here = o.after[0] === event && o.before[0] !== event;
    o.out.set(here ? o.table.subarray(k * n, (k + 1) * n) : o.moved);
  },
  sample(o, p) {
    const n = o.x.length, row = entry(o.state[0], p.classes) * n;
    const may = (i) => o.allowed[row + i] !== 0;
    if (o.forced[0] >= 0) { o.out[0] = Math.min(o.forced[0], n - 1); return; }
    let most = -Infinity;
    for (let i = 0; i < n; i++) if (may(i)) most = Math.max(most, o.x[i]);
    if (o.forced[0] < -1) { o.out[0] = o.x.findIndex((v, i) => may(i) && v === most); return; }
    const weights = [];
    let sum = 0n;
    for (let i = 0; i < n; i++) {
      weights.push(may(i) ? weight(big(most) - big(o.x[i]), o.table, p) : 0n);
      sum += weights[i];
    }
    const t = (big(o.word[0] >>> 0) * sum) >> 32n;
    let seen = 0n;
    o.out[0] = weights.findIndex((w) => (seen += w) > t);
  },
  lookup(o, p) {
    const n = N(p.n), k = entry(o.index[0], p.entries);
    o.out.set(o.table.subarray(k * n, (k + 1) * n));
  },
  timed(o, p) {
    const k = entry(o.state[0], p.entries);
    if (o.forced[0] >= 0 || o.last[k] < 0) o.out[0] = o.forced[0];
    else o.out[0] = o.age[0] >= o.last[k] ? o.next[k] : k;
  },
  cross(o, p) {
    const axes = N(p.axes), sides = N(p.sides);
    const k = entry(o.index[0], p.entries) * axes, b = entry(o.before[0], p.states) * sides;
    o.out[0] = o.after[0];
    for (let s = sides - 1; s >= 0; s--) { // so that the lowest has the last word
      const a = s >> 1, beyond = s % 2 ? o.x[a] > o.most[k + a] : o.x[a] < o.least[k + a];
      if (beyond && o.push[0] >= o.need[s] && o.fate[b + s] >= 0) o.out[0] = o.fate[b + s];
    }
  },
  strike(o, p) {
    const k = entry(o.state[0], p.entries);
    o.out[0] = o.age[0] === o.at[k] ? Math.max(o.x[0] - 1, 0) : o.x[0];
  },
  frame_down(o) {
    for (let i = 0; i < o.now.length; i++) {
      const within = (v) => Math.min(Math.max(v, o.least[i]), o.most[i]);
      const v = within(N(roundShift(big(o.value[i]), 16n)));
      o.out[i] = v > o.now[i] ? v : within(o.now[i] - 1);
    }
  },
  frame_move(o) {
    for (let i = 0; i < o.now.length; i++) {
      const carried = o.still[0] === 0 ? o.speed[i] + o.push[i] : 0;
      o.out[i] = Math.min(Math.max(o.now[i] + o.change[i] + carried, o.least[i]), o.most[i]);
    }
  },
  threshold(o) {
    for (let i = 0; i < o.x.length; i++) o.out[i] = Math.abs(o.x[i]) < o.least[i] ? 0 : o.x[i];
  },
  blank(o) {
    if (o.first[0] !== 0 && o.second[0] !== 0) o.out.fill(0);
    else o.out.set(o.x);
  },
  stand(o, p) {
    const k = entry(o.row[0], p.rows) * N(p.columns) + entry(o.column[0], p.columns);
    const t = o.table[k], near = Math.abs(o.x[0] - t) <= N(p.reach);
    o.out[0] = o.flag[0] !== 0 && t !== -(2 ** 31) && near ? t : o.x[0];
  },
  inside(o, p) {
    const k = entry(o.row[0], p.rows) * N(p.columns) + entry(o.column[0], p.columns);
    o.out[0] = o.least[k] <= o.x[0] && o.x[0] <= o.most[k] ? o.flag[0] : 0;
  },
  fall(o, p) {
    const k = entry(o.row[0], p.entries), lowest = -o.terminal[k];
    const free = o.still[0] === 0 && o.flag[0] === 0 && o.weighs[entry(o.state[0], p.states)] !== 0;
    o.out[0] = free && o.x[0] >= lowest ? Math.max(o.x[0] - o.gravity[k], lowest) : o.x[0];
  },
  fade(o, p) {
    if (o.still[0] !== 0 || o.flag[0] !== 0) { o.out.set(o.x); return; }
    let squares = 0n;
    for (const v of o.x) squares += big(v) * big(v);
    const m = isqrt(squares), left = m - p.amount;
    for (let i = 0; i < o.x.length; i++)
      o.out[i] = left <= 0n ? 0 : N(floored(2n * big(o.x[i]) * left + m, 2n * m));
  },
  hold_above(o, p) {
    const k = entry(o.row[0], p.entries), level = o.level[k];
    const between = o.least[k] <= o.x[0] && o.x[0] <= o.most[k];
    o.out[0] = between && o.before[0] >= level && level > o.y[0] ? level : o.y[0];
  },
  override(o, p) {
    const decided = o.table[entry(o.state[0], p.entries)];
    o.out[0] = o.flag[0] === 0 && decided >= 0 ? decided : o.x[0];
  },
  near(o, p) {
    const t = o.table[entry(o.row[0], p.rows) * N(p.columns) + entry(o.column[0], p.columns)];
    o.out[0] = t === -(2 ** 31) || Math.abs(o.x[0] - t) <= N(p.reach) ? o.flag[0] : 0;
  },
  drift(o, p) {
    const a = entry(o.state[0], p.states), m = o.flag[0] === 0 ? o.loose[a] : o.held[a], v = o.x[0];
    if (o.still[0] !== 0 || m < 0) { o.out[0] = v; return; }
    const at = entry(o.row[0], p.rows) * N(p.modes) + m;
    const s = Math.min(Math.max(2 * o.stick[0] - 65536, -65536), 65536);
    const share = (most) => N(roundShift(big(most) * big(s), 16n)); // what s makes of a table's number
    const g = share(o.most[at]), push = share(o.slope[at]) + Math.sign(s) * o.base[at];
    const d = o.friction[at] * (Math.abs(v) > o.walk[at] ? 2 : 1);
    const slow = Math.sign(v) * Math.max(Math.abs(v) - d, 0);
    if (s === 0) o.out[0] = slow;
    else if (s > 0) o.out[0] = v > g ? Math.max(slow, g) : Math.min(v + push, g);
    else o.out[0] = v < g ? Math.min(slow, g) : Math.max(v + push, g);
  },
  rms_norm_channels(o, p) {
    const [m, e] = factor(o, p);
    for (let i = 0; i < o.x.length; i++)
      o.out[i] = N(clamp(roundShift(big(o.x[i]) * m, big(o.shift[i]) - e), p.lo, p.hi));
  },
  hadamard(o, p) {
    const block = N(p.block);
    for (let at = 0; at < o.x.length; at += block)
      for (let i = 0; i < block; i++) {
        let sum = 0;
        for (let j = 0; j < block; j++) sum += odd(i & j) ? -o.x[at + j] : o.x[at + j];
        o.out[at + i] = N(clamp(roundShift(big(sum), p.shift), p.lo, p.hi));
      }
  },
};
