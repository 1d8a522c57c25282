// How this trial learned, against the best one and the middle of those that completed.

import { getFresh } from "../../lib/api.js";
import { el } from "../../lib/dom.js";
import { exact, number, plural } from "../../lib/format.js";
import { area, DASH, DOTS, legend, LINE } from "../../lib/legend.js";
import { Panel } from "../../lib/panel.js";
import { axis, token } from "../../lib/theme.js";

const WILD = { NaN: NaN, Infinity, "-Infinity": -Infinity };
const MOST_POINTS = 2_000;
const BAND_MS = 30_000;
const FAR = 10;

export const asNumber = (value) => (typeof value === "string" ? (WILD[value] ?? NaN) : value);

// Reports in the order of steps; what was reported again under a later attempt counts.
function lineOf(measurements, metric) {
  const byStep = new Map();
  for (const { step, values } of measurements) if (metric in values) byStep.set(step, asNumber(values[metric]));
  return [...byStep].sort((a, b) => a[0] - b[0]);
}

// Every n-th point and the extremes of each stretch, so that no spike is lost.
function thinned(line) {
  if (line.length <= MOST_POINTS) return line;
  const size = Math.ceil((2 * line.length) / MOST_POINTS);
  const kept = [];
  for (let k = 0; k < line.length; k += size) {
    const part = line.slice(k, k + size);
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

const finite = (line) => line.filter(([, value]) => Number.isFinite(value));

// The axis ends where the others end, when this trial alone runs far away: else they would be one flat line.
function bounds(own, others) {
  if (!others.length || !own.length) return [null, null];
  const [low, high] = [Math.min(...others), Math.max(...others)];
  const reach = FAR * (high - low || Math.abs(high) || 1);
  const isFar = own.some((value) => value > high + reach || value < low - reach);
  const pad = 0.1 * (high - low || 1);
  return isFar ? [low - pad, high + pad] : [null, null];
}

export class Curve {
  constructor() {
    this.metrics = el("select", { "aria-label": "Metric", hidden: true, onchange: () => this.draw() });
    this.panel = new Panel({ id: "curve", title: "Learning curve", tools: [this.metrics] });
    this.element = this.panel.element;
    this.own = [];
    this.best = null;
    this.band = null;
    this.bandAt = 0;
  }

  async load(trial, study) {
    this.trial = trial;
    this.study = study;
    const base = `/v1/studies/${encodeURIComponent(study.id)}`;
    const read = (id) => getFresh(`/v1/trials/${encodeURIComponent(id)}/measurements`).then((found) => found.measurements);
    const isBandOld = this.band === null || Date.now() - this.bandAt > BAND_MS;
    try {
      const bestId = study.best && study.best.id !== trial.id ? study.best.id : null;
      const [own, best, curves] = await Promise.all([read(trial.id), bestId ? read(bestId) : [], isBandOld ? getFresh(`${base}/analysis/curves`) : null]);
      this.own = own;
      this.best = best;
      if (curves) [this.band, this.bandAt] = [curves.band, Date.now()];
      this.draw();
    } catch (error) {
      this.panel.fail(error, () => this.load(this.trial, this.study));
    }
  }

  metric() {
    const first = this.study.definition.metrics.map(({ name }) => name);
    const reported = new Set(this.own.flatMap(({ values }) => Object.keys(values)));
    const names = [...first.filter((name) => reported.has(name)), ...[...reported].filter((name) => !first.includes(name))];
    const chosen = names.includes(this.metrics.value) ? this.metrics.value : names[0];
    if (names.join("\n") !== [...this.metrics.options].map(({ value }) => value).join("\n")) this.metrics.replaceChildren(...names.map((name) => el("option", { value: name, selected: name === chosen }, name)));
    this.metrics.hidden = names.length < 2;
    return chosen;
  }

  nothing() {
    const { trial } = this;
    if (trial.state === "running") return "No step is reported yet. The curve begins with the first report.";
    if (trial.state === "pending") return "This trial waits for a free place; its curve begins with its first report.";
    return "This trial reported no steps: its objective tells only a final value, or it ended before the first report.";
  }

  draw() {
    const metric = this.metric();
    if (metric === undefined) return this.panel.empty(this.nothing());
    const all = lineOf(this.own, metric);
    const own = finite(thinned(all));
    const nWild = all.length - finite(all).length;
    if (!own.length) return this.panel.empty(`${plural(nWild, "report")} of ${metric}, none of them a finite number: see the reports in the log.`);
    const isAim = metric === this.study.definition.metrics[0].name;
    const best = finite(thinned(lineOf(this.best || [], metric)));
    const band = isAim && this.band ? this.band : { step: [], p10: [], p50: [], p90: [], n: [] };
    const [min, max] = bounds(own.map(([, value]) => value), [...best.map(([, value]) => value), ...band.p10, ...band.p90]);
    const nOutside = min === null ? 0 : own.filter(([, value]) => value < min || value > max).length;
    return this.panel.show({
      sentence: this.sentence(metric, own, best, band),
      caption: this.caption(all.length, own.length, nWild, nOutside, band),
      table: () => this.table(metric, all, best, band),
      points: own.map(([step, value]) => ({ x: step, y: value, tip: [["step", step], [metric, exact(value)]] })),
      option: () => option({ own, best, band, min, max, isOver: this.trial.state !== "running", isStopped: this.trial.state === "stopped" }),
      notMerge: true,
    });
  }

  sentence(metric, own, best, band) {
    const [step, value] = own.at(-1);
    const parts = [`${metric} of trial ${this.trial.number} is ${number(value)} at step ${step}`];
    if (best.length) parts.push(`the best trial's, ${this.study.best.number}, is ${number(best.at(-1)[1])}`);
    const k = band.step.findLastIndex((at) => at <= step);
    if (k >= 0) parts.push(`the median of ${band.n[k]} completed trials is ${number(band.p50[k])} at step ${band.step[k]}`);
    return `${parts.join("; ")}.`;
  }

  caption(nAll, nShown, nWild, nOutside, band) {
    const parts = [`${nShown} of ${plural(nAll, "report")} shown${nShown + nWild < nAll ? ', by rule "extremes"' : ""}`];
    if (nWild) parts.push(`${nWild} not finite`);
    if (nOutside) parts.push(`${nOutside} outside the axis`);
    if (band.n.length) parts.push(`median and 10-90 % band of ${plural(Math.max(...band.n), "completed trial")}`);
    else parts.push("no band yet: it needs 5 completed trials with reports");
    return parts.join("; ");
  }

  table(metric, own, best, band) {
    const steps = [...new Set([...own, ...best].map(([step]) => step).concat(band.step))].sort((a, b) => a - b);
    const [mine, theirs] = [new Map(own), new Map(best)];
    const place = new Map(band.step.map((step, k) => [step, k]));
    const rows = steps.map((step) => {
      const k = place.get(step);
      const middle = k === undefined ? [null, null, null] : [band.p10[k], band.p50[k], band.p90[k]];
      return [step, ...[mine.get(step), theirs.get(step)].map((value) => (value === undefined ? null : Number.isFinite(value) ? value : number(value))), ...middle];
    });
    return { heads: ["Step", `${metric}, this trial`, "Best trial", "10 %", "Median", "90 %"], rows };
  }
}

function option({ own, best, band, min, max, isOver, isStopped }) {
  const bandLine = (values) => band.step.map((step, k) => [step, values[k]]);
  const line = (name, data, style, more = {}) => ({ name, type: "line", data, symbol: "none", silent: true, lineStyle: style, itemStyle: { color: style.color }, ...more });
  const last = own.at(-1);
  return {
    grid: { left: 56, right: 16, top: 34, bottom: 40 },
    legend: legend([{ name: "this trial", icon: LINE }, ...(best.length ? [{ name: "best", icon: DASH }] : []), ...(band.step.length ? [{ name: "median", icon: DOTS }, area("10-90 %")] : [])]),
    xAxis: axis({ type: "value", name: "step", nameGap: 26, min: "dataMin", max: "dataMax", minInterval: 1, splitLine: { show: false } }),
    yAxis: axis({ type: "value", scale: true, min, max }),
    series: [
      line("10 %", bandLine(band.p10), { opacity: 0, color: token("edge") }, { stack: "band", stackStrategy: "all" }),
      line("10-90 %", band.step.map((step, k) => [step, band.p90[k] - band.p10[k]]), { opacity: 0, color: token("edge") }, { stack: "band", stackStrategy: "all", areaStyle: { color: token("edge"), opacity: 0.18 } }),
      line("median", bandLine(band.p50), { color: token("soft"), width: 1, type: "dotted" }),
      line("best", best, { color: token("state-completed"), width: 1.5, type: "dashed" }),
      line("this trial", own, { color: token("series-1"), width: 2.5 }, { symbol: own.length < 40 ? "circle" : "none", symbolSize: 5, clip: true }),
      { type: "scatter", silent: true, data: [last], symbol: isStopped ? "rect" : "circle", symbolSize: isStopped ? [3, 16] : isOver ? 7 : 9, itemStyle: { color: isOver ? token("series-1") : token("panel"), borderColor: token("series-1"), borderWidth: 2 } },
    ],
  };
}
