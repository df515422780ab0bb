// The standard rollout of section 10: node rollout.mjs MODEL.wmq SPEC.md FRAMES
import { readFileSync } from "node:fs";
import { Machine, sha256 } from "./machine.mjs";

const [model, spec, count] = process.argv.slice(2);
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

const bytes = readFileSync(model), page = readFileSync(spec, "utf8");
const machine = new Machine(bytes);
const given = Int32Array.from(page.split("The given frame:")[1].split("```")[1].match(/-?\d+/g).map(Number));
const both = [0, 1].map(play);
const rows = [Int32Array.from([...rest(), ...rest()])];
for (let j = 0; j < frames; j++) rows.push(Int32Array.from([...both[0][j], ...both[1][j]]));
const raw = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
let link = sha256("wmq-rollout-1\0", machine.sha256, Buffer.from([1, 0, 0, 0]), raw(given), raw(rows[0]));
let frame = given;
for (let t = 0; t < frames; t++) {
  frame = machine.frame(frame, rows[t], rows[t + 1]);
  link = sha256(link, raw(rows[t + 1]), raw(frame));
  if ([1, 60, 600, 3600].includes(t + 1)) {
    const total = machine.saturations.reduce((a, b) => a + b, 0);
    console.log(t + 1, link.toString("hex"), page.includes(link.toString("hex")) ? "as in the page" : "DIFFERS", total);
  }
}
