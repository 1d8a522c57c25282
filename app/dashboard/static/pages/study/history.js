// Is it still getting better: every trial's value, and the best so far, one line for each early-stopped bracket.

import { el } from "../../lib/dom.js";
import { duration, number, plural, words } from "../../lib/format.js";
import { axis, axisName, DASHES, FONT, series, stateColour, token } from "../../lib/theme.js";
import { change, read } from "../../lib/view.js";
import { captionOf, isEnded, Key, pickedTrials } from "./common.js";
import { Plot } from "./plot.js";
import { brushOn, brushOption, CutSwitch, extent, finite, isMaximized, LogSwitch, padded, rounded, valueAxis } from "./scale.js";
import { VALUE } from "./selection.js";

const MOST = 2_000;
const MOST_NAMED = 6; // brackets: there are as many colours
const SOON_MS = 1_500;
const LABEL_PX = 12;
const NICE_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 172_800, 604_800, 2_419_200];
const ID = "history";

export class History extends Plot {
  constructor(context) {
    const log = new LogSwitch(ID);
    const over = el("button", { type: "button", class: "quiet switch", onclick: () => change({ over: this.isByTime ? null : "time" }) }, "over time");
    const pauses = el("button", { type: "button", class: "quiet switch", onclick: () => change({ over: read("over") === "work" ? "time" : "work" }) }, "without pauses");
    pauses.hidden = true; // until it is known whether the plot is over time
    const cut = new CutSwitch(() => this.redraw());
    super(context, { kind: "history", keys: ["log", "over", "at"], id: ID, title: "Best so far", isOfMetric: true, tools: [over, pauses, log.element, cut.element], help: "Each trial's final value, and the best of those before it. Trials that were stopped early never count as the best of completed ones in importance." });
    Object.assign(this, { log, over, pauses, cut, key: new Key(this.panel) });
  }

  get isByTime() {
    return ["time", "work"].includes(read("over"));
  }

  get isWithoutPauses() {
    return read("over") === "work";
  }

  parameters() {
    return { x: this.isWithoutPauses ? "worked" : this.isByTime ? "elapsed" : "number", max_points: MOST };
  }

  async fetch(asked) {
    const data = await super.fetch(asked);
    this.places = new Map(data.columns.number.map((each, k) => [each, k]));
    return structuredClone(data); // events change it in place
  }

  // Applies what happened without asking again, as long as nothing had to be left out.
  news(events) {
    if (events.some((event) => event.kind === "reset")) return this.viewChanged();
    if (!this.data) return undefined;
    let isChanged = false;
    for (const event of events) {
      if (event.kind === "trial.state") isChanged = this.apply(event.data) || isChanged;
      else if (event.kind === "trial.measurement") isChanged = this.context.running.has(event.data.number) || isChanged;
    }
    if (this.data.columns.number.length > MOST) return super.news(events); // full: now and then is enough
    if (this.hasBrackets && events.some((event) => event.kind === "trial.state" && isEnded(event.data.state))) this.readSoon();
    return isChanged ? this.redraw() : undefined;
  }

  apply(news) {
    const { columns, states } = this.data;
    const state = states.indexOf(news.state);
    const isHidden = news.state === "pending" || news.state === "cancelled";
    const value = news.values[this.metric.name] ?? null;
    const begun = this.context.study().started_at;
    const elapsed = news.ended_at && begun ? (Date.parse(news.ended_at) - Date.parse(begun)) / 1000 - this.data.idle_s : null;
    let k = this.places.get(news.number);
    if (k === undefined) {
      if (isHidden) return false;
      k = columns.number.push(news.number) - 1;
      this.places.set(news.number, k);
      columns.bracket[k] = null;
      columns.value[k] = null;
      this.data.n_total = Math.max(this.data.n_total, news.number);
      this.data.n_used += 1;
      this.data.n_shown += 1;
    }
    columns.state[k] = state;
    if (isEnded(news.state)) columns.value[k] = finite(value) ? value : null; // the last report stands until then
    columns.elapsed_s[k] = elapsed;
    if (!this.hasBrackets && (news.state === "completed" || news.state === "stopped")) this.improve(k);
    return true;
  }

  // Events do not tell brackets: where there are some, the lines are read.
  get hasBrackets() {
    return this.data.best.some((line) => line.bracket !== null);
  }

  readSoon() {
    this.timer = this.timer || setTimeout(() => {
      this.timer = null;
      this.viewChanged();
    }, SOON_MS);
  }

  improve(k) {
    const { columns, best } = this.data;
    const value = columns.value[k];
    if (value === null || !this.metric.direction) return;
    let [line] = best;
    if (!line) best.push((line = { bracket: null, number: [], elapsed_s: [], value: [] }));
    const last = line.value.at(-1);
    if (last !== undefined && !(isMaximized(this.metric) ? value > last : value < last)) return;
    line.number.push(columns.number[k]);
    line.elapsed_s.push(columns.elapsed_s[k]);
    line.value.push(value);
  }

  // Marks by what is drawn alike: {x, y, number, state}; `failed` have no value.
  marks() {
    const { columns, states } = this.data;
    const { name } = this.metric;
    const found = { completed: [], stopped: [], running: [], paused: [], failed: [], rest: [] };
    columns.number.forEach((trial, k) => {
      const state = states[columns.state[k]];
      const running = state === "running" ? this.context.running.get(trial) : null;
      const value = running?.values?.[name] ?? columns.value[k];
      const x = this.isByTime ? (columns.elapsed_s[k] ?? this.now()) : trial;
      const mark = { x, y: value, number: trial, state };
      if (state === "failed" || state === "infeasible") found.failed.push({ ...mark, y: 0, grid: 1 });
      else if (!finite(value)) return;
      else if (!this.context.selection.includes(trial)) found.rest.push(mark);
      else (found[state] || found.running).push(mark);
    });
    return found;
  }

  now() {
    const { started_at: begun, ended_at: ended } = this.context.study();
    return begun ? ((ended ? Date.parse(ended) : Date.now()) - Date.parse(begun)) / 1000 - this.data.idle_s : 0;
  }

  async render() {
    const marks = this.marks();
    const shown = [...marks.completed, ...marks.stopped, ...marks.running, ...marks.paused, ...marks.rest];
    const { name } = this.metric;
    this.over.setAttribute("aria-pressed", String(this.isByTime));
    this.pauses.setAttribute("aria-pressed", String(this.isWithoutPauses));
    this.pauses.hidden = !this.isByTime;
    if (!shown.length) return this.nothing(marks);
    const values = shown.map((mark) => mark.y);
    this.log.allow(values);
    const ends = extent(values, { isWhole: this.cut.isWhole });
    this.cut.show(ends);
    const points = [...shown, ...marks.failed].sort((a, b) => a.x - b.x).map((mark) => ({ ...mark, tip: () => this.tip(mark) }));
    const states = ["completed", "stopped", "running", "paused", "failed"].filter((state) => marks[state].length);
    this.key.show([...states.map((state) => [state, state]), ...(marks.rest.length ? [["rest", "not selected"]] : []), ...(this.metric.direction ? [["best", this.lines().length > 1 ? "best of each bracket" : "best so far"]] : [])]);
    const brackets = this.lines().length > MOST_NAMED ? `; the ${MOST_NAMED} best of ${this.lines().length} brackets named` : "";
    const cut = ends.outside ? `; ${ends.outside} outside the axis` : "";
    return this.panel.show({
      sentence: this.sentence(shown.length),
      caption: captionOf(this.data, "", "without a value") + brackets + cut,
      table: () => this.table(),
      points,
      onReady: (chart, isNew) => this.brush(chart, isNew, ends),
      option: () => this.option(marks, ends, points.reduce((most, point) => Math.max(most, point.x), this.isByTime ? 0 : this.data.n_total)),
    });
  }

  nothing(marks) {
    this.key.show([]);
    const { running = 0, pending = 0 } = this.context.study().trial_counts;
    if (running) return this.panel.empty(`The first value appears when a trial ends; ${running} running.`);
    if (marks.failed.length) return this.panel.empty(`No trial has a value: ${plural(marks.failed.length, "trial")} failed. The Failures tab says why.`);
    if (pending) return this.panel.empty(`${plural(pending, "trial")} wait for a worker. Start one: tunewell worker run`);
    return this.panel.empty("No trial has begun. Start a worker (tunewell worker run), or ask for trials from your own code.");
  }

  sentence(n) {
    const lines = this.data.best.filter((line) => line.value.length);
    if (!this.metric.direction) return `${this.metric.name}: ${this.data.n_shown} of ${this.data.n_used} shown; the study does not say which end of it is the better one`;
    if (!lines.length) return `No trial has ended with a value; ${n} shown`;
    const sign = isMaximized(this.metric) ? -1 : 1;
    const [best] = [...lines].sort((a, b) => sign * (a.value.at(-1) - b.value.at(-1)));
    const since = Math.max(...this.data.columns.number) - best.number.at(-1);
    return `Best ${this.metric.name} ${number(best.value.at(-1))} at trial ${best.number.at(-1)}; ${since ? `no gain in the ${plural(since, "trial")} since` : "the latest trial"}; ${this.data.n_shown} of ${this.data.n_used} shown`;
  }

  tip({ number: trial, state, y, grid }) {
    const { columns } = this.data;
    const at = columns.elapsed_s[this.places.get(trial)];
    return [["trial", String(trial)], ["state", words(state)], ...(grid ? [] : [[this.metric.name, String(y)]]), ...(finite(at) ? [["after", duration(at)]] : [])];
  }

  table() {
    const { columns, states } = this.data;
    return { heads: ["Trial", "State", this.metric.name, "Ended after, s", "Bracket"], rows: columns.number.map((trial, k) => [trial, words(states[columns.state[k]]), columns.value[k], columns.elapsed_s[k], columns.bracket[k]]) };
  }

  option(marks, ends, most) {
    const pairs = (found) => found.map(({ x, y }) => [x, y]);
    const scatter = (found, given) => ({ type: "scatter", symbolSize: 6, progressive: 0, data: pairs(found), ...given });
    const hollow = (state) => ({ color: "transparent", borderColor: stateColour(state), borderWidth: 1.5 });
    const hasLane = marks.failed.length > 0;
    const xAxis = this.isByTime
      ? { ...axisName(this.isWithoutPauses ? "since the first start, without pauses" : "since the first start", 24), type: "value", min: 0, max: most || 1, interval: NICE_S.find((step) => step >= most / 6), axisLabel: { formatter: timeTick, showMaxLabel: false } }
      : { ...axisName("trial", 24), type: "value", min: 1, max: Math.max(2, most), axisLabel: { formatter: (value) => number(value) } };
    const sides = { left: 70, right: this.lines().length > 1 ? 72 : 16 };
    return {
      grid: [{ ...sides, top: 12, bottom: hasLane ? 60 : 44 }, { ...sides, height: hasLane ? 12 : 0, bottom: 42, show: false }],
      xAxis: [axis({ ...xAxis, name: hasLane ? "" : xAxis.name, splitLine: { show: false }, axisLabel: { ...xAxis.axisLabel, show: !hasLane } }), axis({ ...xAxis, gridIndex: 1, show: hasLane, splitLine: { show: false } })],
      yAxis: [valueAxis(ends, this.log.isOn, axisName(this.metric.name, 50)), { type: "value", min: -1, max: 1, gridIndex: 1, show: false }],
      dataZoom: [{ type: "inside", xAxisIndex: [0, 1], zoomOnMouseWheel: "ctrl", moveOnMouseMove: "shift", moveOnMouseWheel: false, filterMode: "none" }],
      ...(this.metric.isFirst ? brushOption({ yAxisIndex: 0 }) : {}),
      series: [
        scatter(marks.rest, { id: "rest", itemStyle: { color: token("line") } }),
        scatter(marks.completed, { id: "completed", itemStyle: { color: stateColour("completed") } }),
        scatter(marks.stopped, { id: "stopped", itemStyle: hollow("stopped") }),
        scatter(marks.paused, { id: "paused", itemStyle: hollow("paused") }),
        scatter(marks.running, { id: "running", itemStyle: hollow("running") }),
        scatter(marks.failed, { id: "failed", xAxisIndex: 1, yAxisIndex: 1, symbol: "rect", symbolSize: [1.5, 9], itemStyle: { color: stateColour("failed") } }),
        { type: "scatter", id: "picked", symbolSize: 13, silent: true, progressive: 0, itemStyle: { color: "transparent", borderColor: token("ink"), borderWidth: 1.5 }, data: pairs(this.picked(marks)) },
        ...this.lines().map((line) => this.bestLine(line, most)),
      ],
    };
  }

  picked({ completed, stopped, running, paused, rest }) {
    const picked = pickedTrials();
    return picked.size ? [...completed, ...stopped, ...running, ...paused, ...rest].filter((mark) => picked.has(mark.number)) : [];
  }

  // Drawn over the values: trials are picked by them, those of the first objective. An end beyond the axis is no end.
  brush(chart, isNew, ends) {
    if (!this.metric.isFirst) return;
    this.ends = ends;
    const rule = this.context.selection.rules.get(VALUE);
    const { min, max } = padded(ends, this.log.isOn);
    brushOn(chart, isNew, "lineY", rule && { yAxisIndex: 0, coordRange: [rule.low ?? min, rule.high ?? max] }, (range) => {
      const [low, high] = range ? [...range].sort((a, b) => a - b) : [null, null];
      const { low: least, high: most } = this.ends;
      this.context.selection.set([VALUE, range ? { low: low <= least ? null : rounded(low), high: high >= most ? null : rounded(high) } : null]);
    });
  }

  lines() {
    return this.data.best.filter((line) => line.value.length);
  }

  // Those with a colour and a name of their own: the best ones, where there are more than can be told apart.
  named() {
    const sign = isMaximized(this.metric) ? -1 : 1;
    const lines = this.lines();
    if (lines.length <= MOST_NAMED) return lines;
    const best = new Set([...lines].sort((a, b) => sign * (a.value.at(-1) - b.value.at(-1))).slice(0, MOST_NAMED));
    return lines.filter((line) => best.has(line));
  }

  bestLine(line, most) {
    const x = this.isByTime ? line.elapsed_s : line.number;
    const corners = steps(x, line.value, most);
    const named = this.named();
    const k = named.indexOf(line);
    const stroke = k < 0 ? { stroke: token("edge"), lineWidth: 1, opacity: 0.4 } : { stroke: series(k), lineWidth: 2, lineDash: DASHES[k % DASHES.length] };
    const name = k < 0 || named.length === 1 ? "" : line.bracket === null ? "no bracket" : `bracket ${line.bracket}`;
    return {
      id: `best-${line.bracket ?? "all"}`, type: "custom", silent: true, clip: false, z: k < 0 ? 3 : 4, data: [[most, line.value.at(-1)]],
      renderItem: ({ coordSys: { x: left, y: top, width, height } }, api) => {
        const points = corners.map((corner) => api.coord(corner));
        const path = { type: "polyline", shape: { points }, style: { fill: "none", ...stroke }, clipPath: { type: "rect", shape: { x: left, y: top - 2, width, height: height + 4 } } };
        if (!name) return { type: "group", children: [path] };
        const label = { type: "text", style: { text: name, x: left + width + 4, y: labelPlaces(named.map((each) => Math.min(top + height, Math.max(top, api.coord([most, each.value.at(-1)])[1]))))[k], verticalAlign: "middle", fill: token("soft"), fontSize: 11, fontFamily: FONT } };
        return { type: "group", children: [path, label] };
      },
    };
  }
}

// A whole number of the largest unit that it has.
function timeTick(seconds) {
  const [unit, size] = [["d", 86_400], ["h", 3_600], ["min", 60]].find(([, length]) => seconds && seconds % length === 0) || ["s", 1];
  return `${number(seconds / size)} ${unit}`;
}

// Heights of labels, moved down where they would stand on each other.
function labelPlaces(heights) {
  const places = [...heights];
  const order = heights.map((_, k) => k).sort((a, b) => heights[a] - heights[b]);
  order.forEach((k, j) => j && (places[k] = Math.max(places[k], places[order[j - 1]] + LABEL_PX)));
  return places;
}

// Corners of a staircase, up to the last trial: the library's own line leaves out small steps, so that it leans.
function steps(x, values, most) {
  const corners = values.flatMap((value, k) => (k ? [[x[k], values[k - 1]], [x[k], value]] : [[x[k], value]]));
  return [...corners, [most, values.at(-1)]];
}
