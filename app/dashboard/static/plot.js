// The best value so far over the trials' numbers, drawn as SVG. Own code: one chart needs no library.

import { shownNumber, svg } from "./dom.js";

const HEIGHT = 260;
const LANE = 18;

export function bestSoFar(trials, metric, isLowerBetter) {
  const steps = [];
  for (const trial of trials) {
    const value = trial.values[metric];
    if (trial.state !== "completed" || typeof value !== "number") continue;
    const last = steps.at(-1);
    if (!last || (isLowerBetter ? value < last.value : value > last.value)) steps.push({ number: trial.number, value });
  }
  return steps;
}

function niceStep(span, count) {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * ([1, 2, 5].find((f) => f * power >= raw) || 10);
}

export function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const step = niceStep(high - low, count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

// Most of the values, so that a few bad trials do not flatten the rest; the best is always inside.
function range(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => sorted[Math.round(q * (sorted.length - 1))];
  const [q1, q3] = [at(0.25), at(0.75)];
  const reach = 3 * (q3 - q1) || Infinity;
  let low = Math.max(sorted[0], q1 - reach);
  let high = Math.min(sorted.at(-1), q3 + reach);
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05];
  const room = (high - low) * 0.06;
  return [low - room, high + room];
}

export function draw(box, trials, metric, isLowerBetter) {
  const shown = trials.filter((t) => t.state === "completed" && typeof t.values[metric] === "number");
  const ended = trials.filter((t) => t.state === "failed" || t.state === "infeasible");
  box.replaceChildren();
  if (!shown.length) return { clipped: 0, shown: 0 };
  const width = Math.max(280, box.clientWidth);
  const steps = bestSoFar(trials, metric, isLowerBetter);
  let [low, high] = range([...shown.map((t) => t.values[metric])]);
  low = Math.min(low, steps.at(-1).value);
  high = Math.max(high, steps.at(-1).value);
  const yTicks = ticks(low, high, 5);
  const left = 14 + 7 * Math.max(...yTicks.map((y) => shownNumber(y).length));
  const [right, top, bottom] = [width - 12, 10, HEIGHT - 28 - (ended.length ? LANE : 0)];
  const lastNumber = Math.max(...trials.map((t) => t.number), 2);
  const x = (number) => left + ((right - left) * (number - 1)) / Math.max(1, lastNumber - 1);
  const y = (value) => bottom - ((bottom - top) * (Math.min(high, Math.max(low, value)) - low)) / (high - low);

  const label = `Best ${metric} so far: ${shownNumber(steps.at(-1).value)} after ${shown.length} completed trials`;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label });
  for (const tick of yTicks) {
    picture.append(svg("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    picture.append(svg("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, shownNumber(tick)));
  }
  const floor = HEIGHT - 28;
  for (const tick of ticks(1, lastNumber, Math.max(2, Math.floor(width / 110))).filter((t) => Number.isInteger(t) && t >= 1)) {
    picture.append(svg("text", { class: "tick", x: x(tick), y: floor + 18, "text-anchor": "middle" }, String(tick)));
  }
  picture.append(svg("line", { class: "axis", x1: left, x2: right, y1: floor, y2: floor }));

  let clipped = 0;
  for (const trial of shown) {
    const value = trial.values[metric];
    const isOut = value < low || value > high;
    clipped += isOut ? 1 : 0;
    const dot = svg("circle", { class: isOut ? "dot is-out" : "dot", cx: x(trial.number), cy: y(value), r: 3.2 });
    dot.append(svg("title", {}, `trial ${trial.number}: ${shownNumber(value)}`));
    picture.append(dot);
  }
  for (const trial of ended) {
    const [cx, cy] = [x(trial.number), floor - LANE / 2];
    const cross = svg("path", { class: "cross", d: `M${cx - 3} ${cy - 3}l6 6m0 -6l-6 6` });
    cross.append(svg("title", {}, `trial ${trial.number}: ${trial.state}`));
    picture.append(cross);
  }
  const path = steps.map((s, k) => (k ? `H${x(s.number)}V${y(s.value)}` : `M${x(s.number)} ${y(s.value)}`)).join("");
  picture.append(svg("path", { class: "best", d: `${path}H${x(lastNumber)}` }));
  box.append(picture);
  return { clipped, shown: shown.length };
}
