// Replays the float and the int8 world side by side.  What it shows at a frame depends on the
// frame alone, so that scrubbing, stepping and playing agree.  `window.wmq` lets a test, or a
// curious reader, read it back.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("wmq-data").textContent);
  const root = document.getElementById("player");
  const byId = (name) => document.getElementById(name);
  const names = Object.keys(data.tracks);
  const SVG = "http://www.w3.org/2000/svg";
  const TRAIL = 45; // frames
  const JUMP = 35; // game units in a frame: a death or a rebirth, which breaks a trail
  const TALL = 14; // game units: how high a player is drawn
  const DEAD = 10; // the last action of dying
  const BEFORE = 20, SMOOTH = 15; // frames that the view looks ahead and back, and is averaged

  // -- columns: the first value, then differences, in integer units --------------------------
  const sums = (differences) => {
    const values = new Float64Array(differences.length);
    let sum = 0;
    differences.forEach((difference, k) => { values[k] = sum += difference; });
    return values;
  };
  const tracks = {};
  for (const name of names) {
    const track = data.tracks[name];
    const players = track.players.map((player) => {
      const columns = {};
      for (const key of Object.keys(player)) {
        columns[key] = sums(player[key]).map((value) => value / data.quanta[key]);
      }
      return columns;
    });
    tracks[name] = { players, stage: sums(track.stage) };
  }
  const length = tracks[names[0]].stage.length;

  // A frame as the viewer's format has it.
  const frameOf = (name, frame) => ({
    players: tracks[name].players.map((columns) => {
      const player = {};
      for (const key of Object.keys(columns)) player[key] = columns[key][frame];
      return player;
    }),
    stage: tracks[name].stage[frame],
  });

  // -- the view: holds the stage and everyone who lives, in both worlds ----------------------
  const everyone = names.flatMap((name) => tracks[name].players);
  const [left, right, bottom, top] = data.stage.blast;
  const ends = data.stage.ground.map(([x]) => x);
  const core = [Math.min(-60, ...ends) - 8, Math.max(60, ...ends) + 8, -35, 70];
  const within = (value, lo, hi) => Math.min(hi, Math.max(lo, value));
  const reach = (at, side, start) => { // the farthest in BEFORE frames to either side
    const pick = side ? Math.max : Math.min;
    const own = new Float64Array(length).map((_, k) => everyone.reduce((found, columns) => {
      if (columns.action_state[k] <= DEAD) return found;
      const lo = at === "x" ? left : bottom, hi = at === "x" ? right : top;
      const room = at === "y" && side ? TALL + 12 : side ? 10 : -10;
      return pick(found, within(columns[at][k], lo, hi) + room);
    }, start));
    const far = own.map((_, k) => {
      let found = own[k];
      const last = Math.min(length - 1, k + BEFORE);
      for (let j = Math.max(0, k - BEFORE); j <= last; j++) found = pick(found, own[j]);
      return found;
    });
    const total = new Float64Array(length + 1);
    far.forEach((value, k) => { total[k + 1] = total[k] + value; });
    return far.map((_, k) => {
      const first = Math.max(0, k - SMOOTH), last = Math.min(length, k + SMOOTH + 1);
      return (total[last] - total[first]) / (last - first);
    });
  };
  const view = [reach("x", 0, core[0]), reach("x", 1, core[1]),
    reach("y", 0, core[2]), reach("y", 1, core[3])];

  // -- drawing ---------------------------------------------------------------------------------
  const make = (parent, kind, attributes, text) => {
    const element = document.createElementNS(SVG, kind);
    for (const key of Object.keys(attributes)) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  const character = (columns, frame) => data.characters[columns.character[frame]] || "?";

  const drawStage = (svg) => {
    const up = make(svg, "g", { transform: "scale(1 -1)" }); // y upwards
    make(up, "rect", { x: left, y: bottom, width: right - left, height: top - bottom,
      class: "blast" });
    const surface = data.stage.ground;
    if (surface.length) {
      const inwards = surface.map(([x]) => x * 0.8);
      const under = [[inwards.at(-1), -14], [inwards[0], -14]];
      make(up, "polygon", { points: [...surface, ...under].join(" "), class: "ground" });
      make(up, "polyline", { points: surface.join(" "), class: "surface" });
    }
    for (const [from, to, y] of data.stage.platforms) {
      make(up, "line", { x1: from, x2: to, y1: y, y2: y, class: "surface" });
    }
    return up;
  };

  const drawPlayer = (up, index) => {
    const of = `p${index + 1}`;
    const trail = make(up, "polyline", { class: `trail ${of}` });
    const ghost = make(up, "rect", { x: -4, y: 0, width: 8, height: TALL, rx: 3,
      class: `ghost ${of}` });
    const group = make(up, "g", { class: of });
    const bubble = make(group, "circle", { cx: 0, cy: TALL / 2, r: 0, class: "bubble" });
    make(group, "rect", { x: -4, y: 0, width: 8, height: TALL, rx: 3, class: "body" });
    const nose = make(group, "path", { d: "M0.5 8.5L3.4 10.2L0.5 12Z", class: "nose" });
    make(group, "text", { transform: `translate(0 ${TALL + 3}) scale(1 -1)` }, `P${index + 1}`);
    return { of, trail, ghost, group, bubble, nose };
  };

  const worlds = names.map((name) => {
    const figure = root.querySelector(`[data-track="${name}"]`);
    const svg = figure.querySelector("svg.stage");
    const up = drawStage(svg);
    const rows = [...figure.querySelectorAll("tr[data-player]")];
    const cells = rows.map((row, index) => {
      row.cells[0].textContent += ` ${character(tracks[name].players[index], 0)}`;
      const found = {};
      for (const cell of row.querySelectorAll("td")) found[cell.dataset.value] = cell;
      return found;
    });
    const other = names.find((each) => each !== name);
    return { name, other, svg, cells, drawn: [drawPlayer(up, 0), drawPlayer(up, 1)] };
  });

  const trailOf = (columns, frame) => {
    const points = [];
    for (let k = frame; k >= Math.max(0, frame - TRAIL); k--) {
      const x = columns.x[k], y = columns.y[k];
      const last = points.at(-1);
      if (last && Math.max(Math.abs(x - last[0]), Math.abs(y - last[1])) > JUMP) break;
      points.push([x, y]);
    }
    return points.join(" ");
  };

  const categoryOf = (action) => data.categories[data.category[action]] || "other";

  const look = (of, action) => {
    const category = categoryOf(action);
    if (action <= DEAD) return `${of} dead`;
    if (category === "damage") return `${of} hurt`;
    return /attacks|aerials|grab|specials/.test(category) ? `${of} attack` : of;
  };

  const showPlayer = (world, index, frame) => {
    const columns = tracks[world.name].players[index];
    const twin = tracks[world.other].players[index];
    const { of, trail, ghost, group, bubble, nose } = world.drawn[index];
    const action = columns.action_state[frame];
    group.setAttribute("transform", `translate(${columns.x[frame]} ${columns.y[frame]})`);
    group.setAttribute("class", look(of, action));
    nose.setAttribute("transform", `scale(${columns.facing[frame] ? 1 : -1} 1)`);
    const shielding = categoryOf(action) === "shield";
    bubble.setAttribute("r", shielding ? 4 + columns.shield_strength[frame] / 6 : 0);
    trail.setAttribute("points", trailOf(columns, frame));
    const apart = Math.hypot(columns.x[frame] - twin.x[frame], columns.y[frame] - twin.y[frame]);
    ghost.setAttribute("transform", `translate(${twin.x[frame]} ${twin.y[frame]})`);
    ghost.setAttribute("visibility", apart > 0.5 ? "visible" : "hidden");
    const cells = world.cells[index];
    cells.percent.textContent = columns.percent[frame].toFixed(1);
    cells.stocks.textContent = columns.stocks[frame];
    cells.action.textContent = `${action} ${categoryOf(action)}`;
    cells.action.classList.toggle("other", action !== twin.action_state[frame]);
  };

  // -- the timeline: how far apart the worlds are, and where they part ---------------------------
  const strip = root.querySelector("svg.distance");
  const along = (frame) => (1000 * frame) / Math.max(1, length - 1);
  const apart = new Float64Array(length).map((_, k) => [0, 1].reduce((sum, index) => {
    const [one, other] = names.map((name) => tracks[name].players[index]);
    return sum + Math.hypot(one.x[k] - other.x[k], one.y[k] - other.y[k]) / 2;
  }, 0));
  const highest = apart.reduce((found, value) => Math.max(found, value), 1);
  let shape = "M0 40";
  for (let k = 0; k < length; k += Math.max(1, Math.floor(length / 1000))) {
    shape += `L${along(k).toFixed(1)} ${(40 - (38 * apart[k]) / highest).toFixed(1)}`;
  }
  make(strip, "path", { d: `${shape}L1000 40Z` });
  if (data.first !== null) {
    const x = along(data.first);
    const mark = make(strip, "line", { x1: x, x2: x, y1: 0, y2: 40, class: "first" });
    mark.dataset.frame = data.first;
    make(mark, "title", {}, `first other action: frame ${data.first}`);
  }
  const now = make(strip, "line", { y1: 0, y2: 40, class: "now" });

  // -- showing a frame, and playing --------------------------------------------------------------
  const scrub = byId("scrub"), play = byId("play"), clock = byId("clock"), speed = byId("speed");
  let shown = 0, playing = false, since = 0, from = 0;

  const show = (frame) => {
    shown = within(Math.round(frame), 0, length - 1);
    const [x0, x1, y0, y1] = view.map((side) => side[shown]);
    for (const world of worlds) {
      world.svg.setAttribute("viewBox", `${x0} ${-y1} ${x1 - x0} ${y1 - y0}`);
      showPlayer(world, 0, shown);
      showPlayer(world, 1, shown);
    }
    const seconds = (shown / data.rate).toFixed(2);
    scrub.value = shown;
    scrub.setAttribute("aria-valuetext", `frame ${shown} of ${length - 1}, ${seconds} seconds`);
    now.setAttribute("x1", along(shown));
    now.setAttribute("x2", along(shown));
    clock.textContent = `frame ${shown} of ${length - 1}, ${seconds} s, `
      + `${apart[shown].toFixed(1)} units apart`;
  };

  const begin = () => { since = performance.now(); from = shown; };
  const setPlaying = (wanted) => {
    playing = wanted;
    play.textContent = playing ? "Pause" : "Play";
    if (!playing) return;
    if (shown === length - 1) show(0);
    begin();
    requestAnimationFrame(tick);
  };
  const tick = (time) => {
    if (!playing) return;
    const passed = Math.max(0, time - since) / 1000;
    show(from + Math.floor(passed * data.rate * Number(speed.value)));
    if (shown === length - 1) setPlaying(false);
    else requestAnimationFrame(tick);
  };
  const go = (frame) => { setPlaying(false); show(frame); };

  scrub.addEventListener("input", () => go(Number(scrub.value)));
  play.addEventListener("click", () => setPlaying(!playing));
  byId("back").addEventListener("click", () => go(shown - 1));
  byId("forth").addEventListener("click", () => go(shown + 1));
  byId("jump").addEventListener("click", () => go(data.first));
  speed.addEventListener("change", begin);
  root.addEventListener("keydown", (event) => {
    const kind = event.target.tagName;
    if (event.altKey || event.ctrlKey || event.metaKey || kind === "SELECT") return;
    const step = (event.shiftKey ? data.rate : 1) * { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " " && kind !== "BUTTON") setPlaying(!playing);
    else if (step) go(shown + step);
    else return;
    event.preventDefault();
  });

  window.wmq = {
    frames: length,
    first: data.first,
    get frame() { return shown; },
    get playing() { return playing; },
    // A frame of both worlds, in the format of --viewer.
    at: (frame) => Object.fromEntries(names.map((name) => [name, frameOf(name, frame)])),
    // Where the players are drawn just now: name -> [[x, y], [x, y]], read off the drawing.
    positions: () => Object.fromEntries(worlds.map((world) => [world.name,
      world.drawn.map(({ group }) =>
        group.getAttribute("transform").match(/-?[0-9.]+(e-?[0-9]+)?/g).map(Number))])),
    seek: go,
  };
  show(0);
})();
