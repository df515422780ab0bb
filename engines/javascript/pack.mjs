// The cases of a conformance pack, after docs/conformance.md: node pack.mjs PACK [EVERY]
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Machine } from "./machine.mjs";

const [folder, every] = process.argv.slice(2);
const file = (name) => readFileSync(join(folder, name));
const programs = file("programs.bin"), vectors = file("vectors.bin");
const TYPES = { i8: Int8Array, i16: Int16Array, i32: Int32Array, i64: BigInt64Array };

function array([type, offset, rows, columns]) {
  const Type = TYPES[type], length = rows * columns * Type.BYTES_PER_ELEMENT;
  const bytes = vectors.buffer.slice(vectors.byteOffset + offset, vectors.byteOffset + offset + length);
  const flat = new Type(bytes);
  return Array.from({ length: rows }, (_, r) => Array.from(flat.subarray(r * columns, (r + 1) * columns), Number));
}

function differs(what, wanted, found) {
  const at = wanted.findIndex((v, i) => v !== Number(found[i]));
  return at < 0 ? "" : `${what}[${at}]: expected ${wanted[at]}, found ${found[at]}`;
}

function run(test) {
  const machine = new Machine(Buffer.concat(test.program.map(([at, n]) => programs.subarray(at, at + n))));
  const [given, inputs, made, heads] = [test.given, test.inputs, test.made, test.heads].map(array);
  const draws = test.words ? [test.words, test.forced].map(array) : [];
  let last;
  for (let t = 0; t < test.frames; t++) {
    const rows = machine.roles.inputs.map((_, k) => inputs[t + k]);
    last = machine.frame(t < given.length ? given[t] : last, ...rows, ...draws.map((of) => of[t]));
    const wrong = differs(`frame ${t}`, made[t], last) || differs(`heads of ${t}`, heads[t], machine.values.heads);
    if (wrong) return wrong;
  }
  for (const [name, content] of Object.entries(test.states)) {
    const wrong = differs(name, array(content)[0], machine.values[name]);
    if (wrong) return wrong;
  }
  return differs("saturations", array(test.saturations)[0], machine.saturations);
}

const cases = JSON.parse(file("cases.json")).filter((_, i) => i % Number(every ?? 1) === 0);
let wrong = 0;
for (const test of cases) {
  const difference = run(test);
  if (difference && ++wrong <= 5) console.log(`${test.kind} ${test.name}: ${difference}`);
}
console.log(`${cases.length - wrong} of ${cases.length} cases the same`);
process.exitCode = wrong ? 1 : 0;
