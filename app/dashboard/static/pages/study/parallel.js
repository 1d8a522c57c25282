// Which combinations are good: each trial a line across the parameters, the best on top. A stretch of an axis that is
// brushed, or typed, picks trials everywhere on the page. Where a parameter is not active the line goes through a lane
// below its axis.

import { getFresh } from "../../lib/api.js";
import { el, toast } from "../../lib/dom.js";
import { number, plural, words } from "../../lib/format.js";
import { ramp, token } from "../../lib/theme.js";
import { read } from "../../lib/view.js";
import { captionOf } from "./common.js";
import { ofMetric, Plot } from "./plot.js";
import { Range, ruleBetween, stretchOf } from "./ranges.js";
import { extent, finite, isMaximized, parameterOf, placeOf, rounded, short, valueAt } from "./scale.js";
import { VALUE } from "./selection.js";

const MOST = 1_500;
const FULL = 1_000; // the end of every axis
const LANE = -90;
const COVER_PX = 16;
const narrow = matchMedia("(max-width: 760px)");

export class Parallel extends Plot {
  constructor(context) {
    super(context, { kind: "parallel", keys: ["axes"], id: "parallel", title: "Parallel coordinates", isOfMetric: true, className: "wide", height: 320, help: "Each line is a trial. Drag along an axis to pick a range, or type it below; the table shows what is picked. Lines in the lane below an axis: the parameter is not active." });
    this.clearButton = el("button", { type: "button", class: "switch", hidden: true, onclick: () => context.selection.clear() }, "clear");
    this.panel.tools.append(this.clearButton);
    this.list = el("div", { class: "range-list" });
    this.fields = el("details", { class: "ranges" }, el("summary", {}, "Ranges as numbers"), this.list);
    this.panel.caption.before(this.fields);
    this.ranges = [];
    this.isOwn = false; // the brush is being set, not used
    narrow.addEventListener("change", () => this.viewChanged());
  }

  // Names of the axes: those in the address, else all, or where they are too many the most important ones and those
  // that are picked by.
  async names() {
    const all = this.context.study().definition.space.map((parameter) => parameter.name);
    const most = narrow.matches ? 4 : 11;
    const asked = (read("axes") || "").split(",").map(decoded).filter((name) => all.includes(name));
    if (asked.length > 1) return asked.slice(0, most);
    if (all.length <= most) return all;
    const { columns } = await getFresh(`${this.context.base}/analysis/importance`, ofMetric({}, this.metric));
    const ranked = columns.param.filter((_, k) => columns.pair[k] === null);
    const picked = [...this.context.selection.rules.keys()].filter((name) => name !== VALUE);
    const first = [...picked, ...ranked, ...all];
    const chosen = new Set([...new Set(first)].slice(0, most));
    return all.filter((name) => chosen.has(name));
  }

  async parameters() {
    if (this.context.study().definition.space.length < 2) return null;
    return { param: await this.names(), max_points: MOST };
  }

  showRanges() {
    const { name, isFirst } = this.metric;
    const names = [name, ...this.axes.map((parameter) => parameter.name)].join("\n");
    if (names !== this.ranged) {
      const values = isFirst ? [new Range(this.context, { name: VALUE, title: name, type: "value", low: null, high: null })] : [];
      this.ranges = [...values, ...this.axes.map((parameter) => new Range(this.context, parameter))];
      this.list.replaceChildren(...this.ranges.map((range) => range.element));
      this.ranged = names;
    }
    this.ranges.forEach((range) => range.refresh());
  }

  get axes() {
    return this.data.axes.map(({ param }) => parameterOf(this.context.study(), param));
  }

  async render() {
    const { data, context } = this;
    this.fields.hidden = !data?.columns.number.length;
    this.clearButton.hidden = context.selection.isEmpty;
    if (!data) return this.panel.empty("The parallel view needs two parameters; the study has one. The slice shows it.");
    const { columns } = data;
    if (!columns.number.length) return this.panel.empty("No trial has a value yet. Lines appear as trials end.");
    this.showRanges();
    const picked = columns.number.filter((trial) => context.selection.includes(trial));
    const shownAxes = this.axes.length < context.study().definition.space.length ? `; ${this.axes.length} of ${context.study().definition.space.length} parameters, the most important` : "";
    this.ends = extent(columns.value);
    return this.panel.show({
      sentence: this.sentence(picked),
      caption: `${captionOf(data, " lines")}${context.selection.isEmpty ? "" : `; ${picked.length} selected`}${shownAxes}${this.ends.outside ? `; ${this.ends.outside} beyond the ends of the value axis` : ""}`,
      table: () => this.table(),
      option: () => this.option(),
      notMerge: true,
      onReady: (chart, isNew) => this.brush(chart, isNew),
    });
  }

  sentence(picked) {
    const { selection } = this.context;
    const { columns } = this.data;
    if (selection.isEmpty) return `${plural(columns.number.length, "line")} over ${this.axes.map((parameter) => parameter.name).join(", ")}`;
    const set = new Set(picked);
    const values = columns.value.filter((value, k) => finite(value) && set.has(columns.number[k])).sort((a, b) => a - b);
    const median = values.length ? `; their median ${number(values[Math.floor(values.length / 2)])}` : "";
    return `${picked.length} of ${columns.number.length} selected: ${selection.told()}${median}`;
  }

  table() {
    const { columns, states } = this.data;
    const read1 = (parameter, place) => {
      if (place < 0) return "not active";
      if (parameter.type === "categorical") return String(parameter.choices[Math.round((place / FULL) * Math.max(1, parameter.choices.length - 1))]);
      return number(valueAt(parameter, place / FULL));
    };
    return {
      heads: ["Trial", "State", this.metric.name, ...this.axes.map((parameter) => parameter.name)],
      rows: columns.number.map((trial, k) => [trial, words(states[columns.state[k]]), columns.value[k], ...this.axes.map((parameter) => read1(parameter, columns[`param:${parameter.name}`][k]))]),
    };
  }

  // --- drawing ---

  valuePlace(value) {
    const { low, high } = this.ends;
    return high === low ? FULL / 2 : Math.max(0, Math.min(FULL, ((value / 2 - low / 2) / (high / 2 - low / 2)) * FULL));
  }

  option() {
    const { columns } = this.data;
    const { selection } = this.context;
    const { axes } = this;
    const sign = isMaximized(this.metric) ? 1 : -1;
    const lanes = axes.map((parameter) => columns[`param:${parameter.name}`].some((place) => place < 0));
    const colours = isMaximized(this.metric) ? ramp() : [...ramp()].reverse();
    const order = columns.number.map((_, k) => k).sort((a, b) => sign * (columns.value[a] - columns.value[b]));
    const width = columns.number.length > 400 ? 0.8 : 1.2;
    // Of many lines only the best fifth stands out: the others would hide what is behind them.
    const strong = columns.number.length > 300 ? order.length * 0.8 : 0;
    const data = order.map((k, rank) => {
      const isIn = selection.includes(columns.number[k]);
      const place = this.valuePlace(columns.value[k]);
      const color = isIn ? blend(colours, place / FULL) : token("line");
      return { value: [place, ...axes.map((parameter) => (columns[`param:${parameter.name}`][k] < 0 ? LANE : columns[`param:${parameter.name}`][k]))], lineStyle: { color, opacity: !isIn ? 0.25 : rank < strong ? 0.16 : 0.75, width } };
    });
    const isNarrow = narrow.matches;
    return {
      parallel: isNarrow ? { layout: "vertical", left: 88, right: 28, top: 12, bottom: 24 } : { left: 48, right: 72, top: 32, bottom: 20 },
      parallelAxis: [this.valueAxis(), ...axes.map((parameter, k) => this.parameterAxis(parameter, k + 1, lanes[k]))],
      series: [{ type: "parallel", progressive: 0, smooth: false, silent: true, realtime: false, inactiveOpacity: 0.06, activeOpacity: 0.8, lineStyle: { width }, data }],
    };
  }

  base(k, name, hasLane) {
    const area = { width: COVER_PX, borderWidth: 1, borderColor: token("accent"), color: token("accent"), opacity: 0.25 };
    return {
      z: 6, dim: k, id: `axis-${k}`, name: short(name, narrow.matches ? 11 : 18), type: "value", min: hasLane ? LANE - 20 : 0, max: FULL, realtime: false, areaSelectStyle: area,
      nameTextStyle: { color: token("ink"), fontSize: 12 }, nameLocation: narrow.matches ? "start" : "end", nameGap: narrow.matches ? 10 : 12,
      axisLine: { lineStyle: { color: token("edge") } }, splitLine: { show: false },
    };
  }

  valueAxis() {
    const { low, high } = this.ends;
    const ticks = [0, 250, 500, 750, 1000];
    const formatter = (place) => number(low + (high - low) * (place / FULL), 3);
    return { ...this.base(0, this.metric.name, false), axisLabel: { ...label(), customValues: ticks, formatter }, axisTick: { customValues: ticks } };
  }

  parameterAxis(parameter, k, hasLane) {
    const { places, texts } = ticksOf(parameter);
    const all = hasLane ? [LANE, ...places] : places;
    const formatter = (place) => (place === LANE ? (narrow.matches ? "-" : "not active") : (texts.get(place) ?? ""));
    return { ...this.base(k, parameter.name, hasLane), axisLabel: { ...label(), customValues: all, formatter }, axisTick: { customValues: all } };
  }

  // --- brushing ---

  brush(chart, isNew) {
    const { rules } = this.context.selection;
    this.isOwn = true;
    const values = this.valueStretch();
    // The chart is made anew without any: each dispatch draws all its lines once more.
    if (values) chart.dispatchAction({ type: "axisAreaSelect", parallelAxisId: "axis-0", intervals: [values] });
    this.axes.forEach((parameter, k) => {
      const stretch = stretchOf(parameter, rules.get(parameter.name));
      if (!stretch) return;
      const intervals = [stretch.map((end) => (parameter.type === "categorical" ? (end / Math.max(1, parameter.choices.length - 1)) * FULL : placeOf(parameter, end) * FULL))];
      chart.dispatchAction({ type: "axisAreaSelect", parallelAxisId: `axis-${k + 1}`, intervals });
    });
    this.isOwn = false;
    colourCovers(chart);
    if (isNew) chart.on("axisareaselected", (event) => this.brushed(event));
  }

  brushed({ parallelAxisId: id, intervals }) {
    if (this.isOwn || !id) return;
    const k = Number(String(id).replace("axis-", ""));
    if (k === 0 && !this.metric.isFirst) {
      toast("Trials are picked by values of the first objective.");
      return this.redraw();
    }
    if (k === 0) return this.context.selection.set([VALUE, this.valueRule(intervals)]);
    const parameter = this.axes[k - 1];
    if (!intervals?.length) return this.context.selection.set([parameter.name, null]);
    const low = Math.min(...intervals.map(([from]) => from));
    const high = Math.max(...intervals.map(([, to]) => to));
    const n = Math.max(1, (parameter.choices?.length ?? 1) - 1);
    const rule = parameter.type === "categorical"
      ? ruleBetween(parameter, (low / FULL) * n, (high / FULL) * n)
      : ruleBetween(parameter, valueAt(parameter, Math.max(0, low / FULL)), valueAt(parameter, Math.min(1, high / FULL)));
    return this.context.selection.set([parameter.name, rule]);
  }

  // The ends of the axis stand for all that lies beyond them.
  valueRule(intervals) {
    if (!intervals?.length) return null;
    const { low, high } = this.ends;
    const at = (place) => rounded(low + (high - low) * (place / FULL));
    const [from, to] = [Math.min(...intervals.map(([start]) => start)), Math.max(...intervals.map(([, end]) => end))];
    return { low: from <= 0 ? null : at(from), high: to >= FULL ? null : at(to) };
  }

  valueStretch() {
    const rule = this.metric.isFirst ? this.context.selection.rules.get(VALUE) : null;
    return rule ? [rule.low === null ? 0 : this.valuePlace(rule.low), rule.high === null ? FULL : this.valuePlace(rule.high)] : null;
  }
}

// The library paints stretches that are set by a call in its own grey, over the axis: they get the colour of those that
// are drawn by hand.
function colourCovers(chart) {
  const brushStyle = { fill: token("accent"), stroke: token("accent"), lineWidth: 1, opacity: 0.25 };
  for (const mark of chart.getZr().storage.getDisplayList(true)) {
    const cover = mark.parent?.__brushOption;
    if (!cover || mark.name !== "main") continue;
    cover.brushStyle = { ...cover.brushStyle, ...brushStyle };
    mark.setStyle(brushStyle);
  }
}

// Readable over the lines that pass behind it.
const label = () => ({ color: token("ink"), fontSize: 11, backgroundColor: token("panel"), lineHeight: 14, padding: [1, 3], borderRadius: 2 });

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Places and words of an axis: choices, powers of ten, or five even steps.
function ticksOf(parameter) {
  const texts = new Map();
  if (parameter.type === "categorical") {
    const n = parameter.choices.length;
    const every = Math.ceil(n / 12);
    parameter.choices.forEach((choice, k) => k % every === 0 && texts.set(n === 1 ? 0 : (k / (n - 1)) * FULL, short(choice, 12)));
  } else if (parameter.log && parameter.high / parameter.low >= 100) {
    const [from, to] = [Math.ceil(Math.log10(parameter.low) - 1e-9), Math.floor(Math.log10(parameter.high) + 1e-9)];
    const every = Math.ceil((to - from + 1) / 7);
    for (let power = from; power <= to; power += every) texts.set(placeOf(parameter, 10 ** power) * FULL, number(10 ** power, 3));
  } else {
    for (let k = 0; k <= 4; k += 1) {
      const value = valueAt(parameter, k / 4);
      texts.set(k * (FULL / 4), number(parameter.type === "int" ? Math.round(value) : value, 3));
    }
  }
  return { places: [...texts.keys()], texts };
}

function blend(colours, share) {
  const at = Math.max(0, Math.min(1, share)) * (colours.length - 1);
  const k = Math.min(colours.length - 2, Math.floor(at));
  const channel = (colour, j) => parseInt(colour.slice(1 + 2 * j, 3 + 2 * j), 16);
  const mixed = [0, 1, 2].map((j) => Math.round(channel(colours[k], j) * (k + 1 - at) + channel(colours[k + 1], j) * (at - k)));
  return `rgb(${mixed.join(",")})`;
}
