// The standard rollout of section 10: node rollout.mjs MODEL.wmq SPEC.md FRAMES [AGENT.wmq]
// With AGENT.wmq it plays both players (section 11), without it they play at random.
import { readFileSync } from "node:fs";
import { Machine, sha256 } from "./machine.mjs";

const [model, spec, count, player] = process.argv.slice(2);
const frames = Number(count), MASK = (1n << 64n) - 1n, GOLDEN = 0x9e3779b97f4a7c15n;
const mix = (z) => {
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
};
const STICKS = [[94, 0, 0], [36, 80, 0], [36, -80, 0], [18, 0, -80], [12, 0, 80], [12, 56, -56],
  [12, -56, -56], [8, 56, 56], [8, -56, 56], [10, 40, 0], [10, -40, 0]];
const BUTTONS = [[14, "A"], [10, "B"], [7, "X"], [21, "Y"], [2, "Z"], [9, "L"], [10, "R"], [8, "c"], [175, "-"]];
const NAMES = ["A", "B", "X", "Y", "Z", "L", "R", "D_UP"];
const C = [[80, 0], [-80, 0], [0, 80], [0, -80]];
const stick = (n) => 32768 + Math.floor((2 * n * 65536 + 160) / 320);
const pick = (list, b) => list.find(([shares]) => (b -= shares) < 0);
const rest = () => [32768, 32768, 32768, 32768, 0, 0, 0, 0, 0, 0, 0, 0, 0];

function play(player) { // G3, G4
  const key = mix((GOLDEN * (BigInt(player) + 1n)) & MASK), rows = [];
  for (let i = 0n; rows.length < frames; i++) {
    const word = mix((key + GOLDEN * (i + 1n)) & MASK);
    const b = [0n, 8n, 16n, 24n, 32n].map((s) => Number((word >> s) & 255n));
    const hold = 1 + (b[1] % 15), pressed = Math.min(1 + (b[3] % 8), hold);
    const [, u, v] = pick(STICKS, b[0]), [, button] = pick(BUTTONS, b[2]);
    for (let k = 0; k < hold; k++) {
      const row = rest();
      [row[0], row[1]] = [stick(u), stick(v)];
      if (k < pressed && button === "c") [row[2], row[3]] = C[b[4] % 4].map(stick);
      else if (k < pressed && button !== "-") {
        row[5 + NAMES.indexOf(button)] = 65536;
        row[4] = { L: 65536, R: 65536, Z: 22938 }[button] ?? 0;
      }
      rows.push(row);
    }
  }
  return rows;
}

class Drawer { // M4
  constructor(machine, slot) {
    this.count = machine.draws.length ? machine.values.words.length : 0;
    this.key = mix((GOLDEN * BigInt(slot)) & MASK); // of seed 0
    this.next = 0n;
  }
  rows() { // words and forced of the next step, if the program has them
    if (!this.count) return [];
    const word = () => Number(mix((this.key + GOLDEN * ++this.next) & MASK) >> 32n) | 0;
    return [Int32Array.from({ length: this.count }, word), new Int32Array(this.count).fill(-1)];
  }
}

const page = readFileSync(spec, "utf8"), machine = new Machine(readFileSync(model));
const given = Int32Array.from(page.split("The given frame:")[1].split("```")[1].match(/-?\d+/g).map(Number));
const draws = new Drawer(machine, 3), agents = [];
if (player)
  for (const slot of [4, 5]) {
    const agent = new Machine(readFileSync(player));
    agents.push([agent, new Drawer(agent, slot)]);
  }
const fields = (given.length - 1) / 2;
const seen = (frame, p) => // M3
  p ? Int32Array.from([...frame.subarray(fields, 2 * fields), ...frame.subarray(0, fields), frame[2 * fields]]) : frame;
const random = player ? [] : [0, 1].map(play);
const controllers = (t, frame, now) => // of step t + 1
  [0, 1].map((p) => {
    if (!player) return random[p][t];
    const [agent, own] = agents[p];
    return agent.frame(now.subarray(13 * p, 13 * p + 13), seen(frame, p), ...own.rows());
  });

const raw = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
const nobody = Buffer.alloc(32), seed = Buffer.alloc(8), one = Buffer.from([1, 0, 0, 0]); // g = 1
const named = player ? agents.map(([agent]) => agent.sha256) : [nobody, nobody];
const first = draws.count // H3
  ? ["wmq-match-1\0", machine.sha256, ...named, seed, Buffer.from([1])] : ["wmq-rollout-1\0", machine.sha256];
let frame = given, now = Int32Array.from([...rest(), ...rest()]);
let link = sha256(...first, one, raw(given), raw(now));
for (let t = 0; t < frames; t++) { // M2
  const next = Int32Array.from(controllers(t, frame, now).flatMap((half) => [...half]));
  frame = machine.frame(frame, now, next, ...draws.rows());
  now = next;
  link = sha256(link, raw(now), raw(frame));
  if ([1, 60, 600, 3600].includes(t + 1)) {
    const total = machine.saturations.reduce((a, b) => a + b, 0);
    console.log(t + 1, link.toString("hex"), page.includes(link.toString("hex")) ? "as in the page" : "DIFFERS", total);
  }
}
