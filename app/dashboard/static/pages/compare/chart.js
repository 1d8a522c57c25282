// Best so far of several studies in one chart, over trials or over time: one line a study, told apart by hue and dash.

import { el, svg } from "../../lib/dom.js";
import { duration, number, plural } from "../../lib/format.js";
import { axis, DASHES, series } from "../../lib/theme.js";

const dash = (k) => DASHES[k % DASHES.length];
const PATTERN = { solid: "none", dashed: "6 4", dotted: "2 3" };

// The line as it looks in the chart.
export function swatch(k) {
  const line = svg("line", { x1: 0, x2: 28, y1: 6, y2: 6, "stroke-width": 2.5, "stroke-dasharray": PATTERN[dash(k)], class: `stroke-${(k % 6) + 1}` });
  return svg("svg", { width: 28, height: 12, "aria-hidden": "true", class: "swatch" }, line);
}

// studies: [{name, history, k}]; x: "number" or "elapsed"; isLog: whether the metric's axis is logarithmic.
export function bestSoFar(studies, metric, x, isLog) {
  const lines = studies.map((study) => ({ ...study, points: pointsOf(study.history, metric, x) })).filter(({ points }) => points.length);
  const last = Math.max(...lines.map(({ history }) => endOf(history, x)), 0);
  const total = studies.reduce((sum, { history }) => sum + history.n_total, 0);
  return {
    isEmpty: !lines.length,
    sentence: lines.map(({ name, points }) => `${name}: best ${metric.name} ${number(points.at(-1)[1])}`).join("; "),
    caption: `Best of ${plural(total, "trial")} in ${plural(studies.length, "study", "studies")}; every improvement is shown`,
    points: lines.flatMap(({ name, points }) => points.map(([at, value]) => ({ x: at, y: value, tip: [["", name], [x === "number" ? "trial" : "after", x === "number" ? String(at) : duration(at)], [metric.name, String(value)]] }))),
    table: { heads: ["Study", x === "number" ? "Trial" : "After (s)", metric.name], rows: lines.flatMap(({ name, points }) => points.map(([at, value]) => [name, at, value])) },
    option: () => ({
      grid: { left: 64, right: 20, top: 12, bottom: 40 },
      xAxis: axis({ type: "value", min: x === "number" ? 1 : 0, max: last || null, name: x === "number" ? "trial" : "time since the start", nameGap: 26, axisLabel: { formatter: x === "number" ? String : (at) => duration(at) } }),
      yAxis: axis({ type: isLog ? "log" : "value", scale: true, axisLabel: { formatter: (value) => number(value) } }),
      series: lines.map(({ k, history, points }) => ({
        type: "line", step: "end", symbol: "circle", symbolSize: 5, showSymbol: points.length < 60,
        itemStyle: { color: series(k) }, lineStyle: { color: series(k), type: dash(k), width: 2.5 },
        data: [...points, [endOf(history, x), points.at(-1)[1]]],
      })),
    }),
  };
}

// The lines of all brackets as one: what was the best of the whole study at each place.
function pointsOf(history, metric, x) {
  const sign = metric.direction === "maximize" ? 1 : -1;
  const all = history.best.flatMap((line) => (x === "number" ? line.number : line.elapsed_s).map((at, k) => [at, line.value[k]]));
  const found = [];
  for (const [at, value] of all.filter((point) => !point.includes(null)).sort((a, b) => a[0] - b[0])) {
    if (!found.length || sign * value > sign * found.at(-1)[1]) found.push([at, value]);
  }
  return found;
}

const endOf = (history, x) => Math.max(0, ...(x === "number" ? history.columns.number : history.columns.elapsed_s).filter((value) => value !== null));

export const isPositive = (studies) => studies.every(({ history }) => history.best.every((line) => line.value.every((value) => value === null || value > 0)));

export const toggle = (id, text, isOn, run) => el("button", { type: "button", id, "aria-pressed": String(isOn), onclick: run }, text);
