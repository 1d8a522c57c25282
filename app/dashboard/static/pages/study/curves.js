// How trials learn: thousands of faded curves, by state, with the best, the running and the pointed-at one on top. The
// library's `lines` series draws them as one path for each state; it never names a line, so we find the nearest.

import { number, plural, words } from "../../lib/format.js";
import { axis, axisName, series, stateColour, token } from "../../lib/theme.js";
import { captionOf, Key, pickedTrials } from "./common.js";
import { Plot } from "./plot.js";
import { CutSwitch, extent, finite, isMaximized, LogSwitch, padded, valueAxis } from "./scale.js";

const MOST = 1_000;
const MOST_OWN = 12; // line series beside the faded ones
const MOST_POINTS = 60;
const REACH = 14;
const NEW_MS = 5_000;
const GROUPS = { completed: "completed", stopped: "stopped", running: "running", paused: "paused" };

export class Curves extends Plot {
  constructor(context) {
    const log = new LogSwitch("curves");
    const cut = new CutSwitch(() => this.redraw());
    super(context, { kind: "curves", keys: ["log", "at"], id: "curves", title: "Learning curves", isOfMetric: true, tools: [log.element, cut.element], help: "Reported values over steps. Faded: all curves drawn; bold: the best; dashed: running ones, and those picked in the table. A curve that was stopped early ends in a bar. The band holds the middle 80 % of completed trials, where at least 5 have reported." });
    Object.assign(this, { log, cut, key: new Key(this.panel), newTimer: null });
  }

  parameters() {
    return { max_points: MOST };
  }

  async fetch(asked) {
    const data = await super.fetch(asked);
    if (data !== this.source) {
      this.source = data;
      this.curves = unpack(data);
    }
    this.places = new Map(this.curves.map((curve, k) => [curve.number, k]));
    return data;
  }

  leave() {
    super.leave();
    clearTimeout(this.newTimer);
    this.newTimer = null;
  }

  // Points are added where the curve is drawn; curves are read again when others are to be shown.
  news(events) {
    if (events.some((event) => event.kind === "reset")) return this.viewChanged();
    if (!this.data) return undefined;
    let isChanged = false;
    let hasNew = false;
    for (const { kind, data } of events) {
      const curve = this.curves[this.places.get(data.number)];
      if (kind === "trial.measurement") {
        if (curve) isChanged = extend(curve, data.step, data.values[this.metric.name]) || isChanged;
        else hasNew = true;
      } else if (kind === "trial.state" && curve && curve.state !== data.state) {
        curve.state = data.state;
        isChanged = true;
      }
    }
    if (hasNew && this.newTimer === null) {
      this.newTimer = setTimeout(() => {
        this.newTimer = null;
        this.viewChanged();
      }, NEW_MS);
    }
    return isChanged ? this.redraw() : undefined;
  }

  // The trial with the best last value among the completed ones.
  best() {
    const { metric } = this;
    if (!metric.direction) return -1;
    const sign = isMaximized(metric) ? -1 : 1;
    const known = metric.isFirst ? this.context.study().best?.number : null;
    if (this.places.has(known)) return this.places.get(known);
    let found = -1;
    this.curves.forEach((curve, k) => {
      if (curve.state !== "completed" || !curve.values.length) return;
      if (found < 0 || sign * (curve.values.at(-1) - this.curves[found].values.at(-1)) < 0) found = k;
    });
    return found;
  }

  async render() {
    const curves = this.curves.filter((curve) => curve.steps.length);
    if (!curves.length) {
      this.key.show([]);
      return this.panel.empty(this.emptyText());
    }
    const values = curves.flatMap((curve) => curve.values);
    this.log.allow(values);
    this.ends = extent(values, { isWhole: this.cut.isWhole });
    this.cut.show(this.ends);
    const best = this.curves[this.best()] || null;
    const states = ["completed", "stopped", "running", "paused", "failed"].filter((state) => curves.some((curve) => curve.state === state && curve.steps.length > 1));
    const band = this.data.band.step.length > 1 ? [["band", "middle 80 % of completed"]] : [];
    this.key.show([...states.map((state) => [`${state}-line`, state === "stopped" ? "stopped early" : state]), ...(best ? [["best", "best"]] : []), ...band]);
    const isLines = curves.some((curve) => curve.steps.length > 1);
    return this.panel.show({
      sentence: this.sentence(curves, best),
      caption: `${captionOf(this.data)}${this.ends.outside ? `; ${plural(this.ends.outside, "value")} outside the axis` : ""}${isLines ? "" : "; one report each so far"}`,
      table: () => this.table(),
      points: this.points(),
      pick: (x, y) => this.nearest(x, y),
      onPoint: (k) => this.point(k),
      option: (chart) => this.option(chart, best),
      notMerge: true,
    });
  }

  emptyText() {
    const { trial_counts: counts } = this.context.study();
    if (counts.running) return `No trial has reported a step yet; ${plural(counts.running, "trial")} running.`;
    if (!this.metric.isFirst) return `No trial has reported ${this.metric.name} at a step.`;
    if (counts.completed) return "These trials report no steps. An objective that calls report(step, value) gets its curve here.";
    return `No trial has reported a step yet. A curve begins with the first report of ${this.metric.name}.`;
  }

  sentence(curves, best) {
    const stopped = curves.filter((curve) => curve.state === "stopped");
    const reached = best ? `; the best reaches ${number(best.values.at(-1))} at step ${best.steps.at(-1)}` : "";
    const counts = new Map();
    for (const curve of stopped) counts.set(curve.steps.at(-1), (counts.get(curve.steps.at(-1)) || 0) + 1);
    const [most] = [...counts].sort((a, b) => b[1] - a[1]);
    return `${plural(curves.length, "curve")}${reached}${stopped.length ? `; ${stopped.length} stopped early, most at step ${most[0]}` : ""}`;
  }

  table() {
    return { heads: ["Trial", "State", "Step", this.metric.name], rows: this.curves.flatMap((curve) => curve.steps.map((step, k) => [curve.number, words(curve.state), step, curve.values[k]])) };
  }

  // One point a curve, at its end: arrow keys walk from curve to curve.
  points() {
    return this.curves.map((curve) => ({
      x: curve.steps.at(-1) ?? 0, y: curve.values.at(-1) ?? 0, number: curve.number,
      tip: () => [["trial", String(curve.number)], ["state", words(curve.state)], ["step", String(curve.steps.at(-1))], [this.metric.name, String(curve.values.at(-1))]],
    }));
  }

  option(chart, best) {
    const { context } = this;
    const isLog = this.log.isOn;
    const zoom = chart.getOption()?.dataZoom?.[0];
    const steps = this.curves.flatMap((curve) => (curve.steps.length ? [curve.steps[0], curve.steps.at(-1)] : []));
    const [first, last] = [Math.min(...steps), Math.max(...steps)];
    const groups = { completed: [], stopped: [], running: [], paused: [], other: [], rest: [] };
    for (const curve of this.curves) groups[context.selection.includes(curve.number) || curve.state === "running" ? GROUPS[curve.state] || "other" : "rest"].push(curve);
    const faded = this.curves.length > 300 ? 0.18 : this.curves.length > 60 ? 0.35 : 0.55;
    const own = [...groups.running.slice(0, MOST_OWN - 2), ...this.pickedCurves()].slice(0, MOST_OWN - 2);
    return {
      grid: { left: 70, right: 16, top: 12, bottom: 44 },
      xAxis: axis({ ...axisName("step", 24), type: "value", min: first === last ? first - 1 : first, max: first === last ? last + 1 : last, minInterval: 1, splitLine: { show: false }, axisLabel: { formatter: (step) => number(step) } }),
      yAxis: valueAxis(this.ends, isLog, axisName(this.metric.name, 50)),
      dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, filterMode: "none", ...(zoom ? { start: zoom.start, end: zoom.end } : {}) }],
      series: [
        this.band(isLog),
        bundle(groups.rest, token("line"), 0.5),
        bundle(groups.other, stateColour("failed"), faded),
        bundle(groups.completed, stateColour("completed"), faded),
        bundle(groups.stopped, stateColour("stopped"), faded),
        bundle(groups.paused, stateColour("paused"), faded),
        bundle(groups.running, stateColour("running"), 0.7),
        { type: "scatter", silent: true, progressive: 0, symbol: "rect", symbolSize: [2, 10], itemStyle: { color: stateColour("stopped") }, data: groups.stopped.filter((curve) => curve.steps.length).slice(0, MOST).map((curve) => [curve.steps.at(-1), curve.values.at(-1)]) },
        ...own.map((curve) => line(curve, curve.state === "running" ? { color: stateColour("running"), width: 1.5, type: [5, 3] } : { color: token("ink"), width: 1.5, type: "dashed" })),
        ...(best ? [line(best, { color: series(0), width: 2.5 })] : []),
        { id: "hovered", type: "line", symbol: "none", silent: true, z: 9, lineStyle: { color: token("ink"), width: 2 }, data: [] },
      ],
    };
  }

  pickedCurves() {
    return [...pickedTrials()].map((trial) => this.curves[this.places.get(trial)]).filter(Boolean);
  }

  band(isLog) {
    const { band } = this.data;
    const places = band.step.map((_, k) => k).filter((k) => finite(band.p10[k]) && finite(band.p90[k]) && (!isLog || band.p10[k] > 0));
    return {
      type: "custom", silent: true, clip: true, z: 0, data: places.length > 1 ? [[band.step[places[0]], band.p10[places[0]]]] : [],
      renderItem: (_, api) => ({
        type: "polygon",
        shape: { points: [...places.map((k) => api.coord([band.step[k], band.p90[k]])), ...[...places].reverse().map((k) => api.coord([band.step[k], band.p10[k]]))] },
        style: { fill: token("series-1"), opacity: 0.14 },
      }),
    };
  }

  // --- pointing ---

  // The curve whose line passes nearest to a pixel.
  nearest(x, y) {
    const scale = this.scale();
    if (!scale) return -1;
    let found = -1;
    let least = REACH * REACH;
    this.curves.forEach((curve, k) => {
      let [ax, ay] = [NaN, NaN];
      curve.steps.forEach((step, j) => {
        const [bx, by] = [scale.x(step), scale.y(curve.values[j])];
        const away = distance(x, y, ax, ay, bx, by);
        if (away < least) [found, least] = [k, away];
        [ax, ay] = [bx, by];
      });
    });
    return found;
  }

  // Pixels of steps and values, from two corners: a call for each point would take too long.
  scale() {
    const { chart } = this.panel;
    if (!chart || !this.ends) return null;
    const isLog = this.log.isOn;
    const { min, max } = padded(this.ends, isLog);
    const at = (step, value) => chart.convertToPixel({ gridIndex: 0 }, [step, value]);
    const [[x0, y0], [x1, y1]] = [at(0, min), at(1, max)];
    const flat = isLog ? Math.log : (value) => value;
    const [low, high] = [flat(min), flat(max)];
    return { x: (step) => x0 + step * (x1 - x0), y: (value) => y0 + ((flat(value) - low) / (high - low)) * (y1 - y0) };
  }

  point(k) {
    const curve = this.curves[k];
    this.panel.chart?.setOption({ series: [{ id: "hovered", data: curve ? pairs(curve) : [] }] }, { lazyUpdate: true });
  }
}

function distance(x, y, ax, ay, bx, by) {
  if (Number.isNaN(ax)) return (x - bx) ** 2 + (y - by) ** 2;
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const t = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length));
  return (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2;
}

function unpack({ columns, points, states }) {
  return columns.number.map((trial, k) => {
    const [from, to] = [columns.offset[k], columns.offset[k] + columns.length[k]];
    return { number: trial, state: states[columns.state[k]], bracket: columns.bracket[k], steps: points.step.slice(from, to), values: points.value.slice(from, to) };
  });
}

// Adds a point to a curve; of one that is full every other point between its ends goes.
function extend(curve, step, value) {
  if (!finite(value) || !Number.isFinite(step)) return false;
  const last = curve.steps.at(-1);
  if (step === last) curve.values[curve.values.length - 1] = value;
  else if (last === undefined || step > last) {
    curve.steps.push(step);
    curve.values.push(value);
  } else return false;
  if (curve.steps.length > 2 * MOST_POINTS) {
    const keep = (_, k) => k % 2 === 0 || k === curve.steps.length - 1;
    [curve.steps, curve.values] = [curve.steps.filter(keep), curve.values.filter(keep)];
  }
  return true;
}

const pairs = (curve) => curve.steps.map((step, k) => [step, curve.values[k]]);

const line = (curve, lineStyle) => ({ type: "line", symbol: curve.steps.length === 1 ? "circle" : "none", symbolSize: 4, silent: true, z: 5, progressive: 0, lineStyle, itemStyle: { color: lineStyle.color }, data: pairs(curve) });

// Many curves as one path: [n, x, y, x, y, ..., n, ...]. `large` stays off below its threshold, which is 2,000.
function bundle(curves, color, opacity) {
  const drawn = curves.filter((curve) => curve.steps.length > 1);
  const flat = new Float64Array(drawn.reduce((sum, curve) => sum + 1 + 2 * curve.steps.length, 0));
  let at = 0;
  for (const curve of drawn) {
    flat[at++] = curve.steps.length;
    for (let k = 0; k < curve.steps.length; k += 1) {
      flat[at++] = curve.steps[k];
      flat[at++] = curve.values[k];
    }
  }
  return { type: "lines", coordinateSystem: "cartesian2d", polyline: true, large: true, largeThreshold: 1, silent: true, progressive: 0, lineStyle: { color, width: 1, opacity }, data: drawn.length ? flat : [] };
}
