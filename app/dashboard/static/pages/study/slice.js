// Where along one parameter it is good: a mark a trial, the quartiles of stretches behind them, and a lane for the
// trials in which the parameter is not active.

import { el } from "../../lib/dom.js";
import { number, words } from "../../lib/format.js";
import { axis, axisName, stateColour, token } from "../../lib/theme.js";
import { change, read } from "../../lib/view.js";
import { captionOf } from "./common.js";
import { Plot } from "./plot.js";
import { Range, ruleBetween, stretchOf } from "./ranges.js";
import { brushOn, brushOption, CutSwitch, extent, isMaximized, jitter, LogSwitch, parameterAxis, parameterOf, spot, valueAt, valueAxis } from "./scale.js";

const MOST = 2_000;
const LANE_PX = 64;

// A select of the study's parameters that writes one key of the address.
export function parameterSelect(context, key, current, label) {
  const names = context.study().definition.space.map((parameter) => parameter.name);
  const select = el("select", { "aria-label": label, onchange: () => change({ [key]: select.value }) }, ...names.map((name) => el("option", { value: name }, name)));
  select.value = current();
  return select;
}

export class Slice extends Plot {
  // key: in the address, "x" or "y": which of the two chosen parameters it is over.
  constructor(context, key = "x") {
    const id = key === "x" ? "slice" : "slice-y";
    const log = new LogSwitch(id);
    const cut = new CutSwitch(() => this.redraw());
    const select = parameterSelect(context, key, () => chosen(context, key), "Parameter of the slice");
    super(context, { kind: "slice", keys: ["log", "x", "y"], id, title: "Slice", isOfMetric: true, tools: [select, log.element, cut.element], help: "Each trial's value over one parameter. Boxes: the middle half of the values in a stretch of at least four trials, the line in it their median. Drag to pick a range." });
    Object.assign(this, { log, cut, select, key });
    this.range = null;
  }

  get parameter() {
    return parameterOf(this.context.study(), chosen(this.context, this.key));
  }

  parameters() {
    if (!this.parameter) return null;
    this.select.value = this.parameter.name;
    return { param: this.parameter.name, max_points: MOST };
  }

  showRange() {
    if (this.range?.parameter.name !== this.parameter.name) {
      this.range?.element.remove();
      this.range = new Range(this.context, this.parameter);
      this.panel.caption.before(this.range.element);
    }
    this.range.refresh();
  }

  marks() {
    const { number: numbers, x, value, state } = this.data.slices[0];
    const { parameter, context } = this;
    return numbers.map((trial, k) => {
      const isActive = x[k] !== null && x[k] !== undefined;
      const at = isActive ? spot(parameter, x[k]) + (parameter.type === "categorical" ? jitter(trial) : 0) : jitter(trial);
      return { x: at, y: value[k], raw: x[k], number: trial, state: this.data.states[state[k]], isIn: context.selection.includes(trial), grid: isActive ? 0 : 1 };
    });
  }

  async render() {
    if (!this.data) return this.panel.empty("The study has one parameter only.");
    const { metric } = this;
    const marks = this.marks();
    if (this.range) this.range.element.hidden = !marks.length;
    if (!marks.length) return this.panel.empty("No trial has a value yet. The first mark appears when a trial ends.");
    this.showRange();
    const values = marks.map((mark) => mark.y);
    this.log.allow(values);
    const ends = extent(values, { isWhole: this.cut.isWhole });
    this.cut.show(ends);
    const nIdle = marks.filter((mark) => mark.grid === 1).length;
    const isOne = new Set(marks.filter((mark) => mark.grid === 0).map((mark) => mark.raw)).size === 1;
    return this.panel.show({
      sentence: this.sentence(marks, metric),
      caption: `${captionOf(this.data)}${nIdle ? `; not active in ${nIdle}` : ""}${isOne && marks.length > 1 ? "; only one value tried" : ""}${ends.outside ? `; ${ends.outside} outside the axis` : ""}`,
      table: () => ({ heads: ["Trial", this.parameter.name, metric.name, "State"], rows: this.data.slices[0].number.map((trial, k) => [trial, this.data.slices[0].x[k] ?? "not active", this.data.slices[0].value[k], words(this.data.states[this.data.slices[0].state[k]])]) }),
      points: [...marks].sort((a, b) => a.x - b.x).map((mark) => ({ ...mark, tip: [["trial", String(mark.number)], ["state", words(mark.state)], [this.parameter.name, mark.grid ? "not active" : String(mark.raw)], [metric.name, String(mark.y)]] })),
      option: () => this.option(marks, ends, nIdle, metric),
      notMerge: true,
      onReady: (chart, isNew) => this.brush(chart, isNew),
    });
  }

  sentence(marks, metric) {
    if (!metric.direction) return `${metric.name} over ${this.parameter.name}: ${marks.length} trials`;
    const sign = isMaximized(metric) ? -1 : 1;
    const active = marks.filter((mark) => mark.grid === 0 && mark.state === "completed").sort((a, b) => sign * (a.y - b.y));
    const best = active.slice(0, Math.max(1, Math.ceil(active.length / 5)));
    if (!best.length) return `${metric.name} over ${this.parameter.name}: no completed trial`;
    if (this.parameter.type === "categorical") {
      const counts = new Map();
      for (const mark of best) counts.set(mark.raw, (counts.get(mark.raw) || 0) + 1);
      const [[choice, n]] = [...counts].sort((a, b) => b[1] - a[1]);
      return `${metric.name} over ${this.parameter.name}: ${n} of the best ${best.length} have ${choice}`;
    }
    const at = best.map((mark) => mark.raw);
    return `${metric.name} over ${this.parameter.name}: the best fifth lies between ${number(Math.min(...at))} and ${number(Math.max(...at))}`;
  }

  option(marks, ends, nIdle, metric) {
    const left = 70 + (nIdle ? LANE_PX : 0);
    const scatter = (grid, found, itemStyle) => ({ type: "scatter", symbolSize: 6, progressive: 0, silent: true, xAxisIndex: grid, yAxisIndex: grid, itemStyle, data: found.map(({ x, y }) => [x, y]) });
    const groups = (grid) => {
      const own = marks.filter((mark) => mark.grid === grid);
      return [
        scatter(grid, own.filter((mark) => !mark.isIn), { color: token("line") }),
        scatter(grid, own.filter((mark) => mark.isIn && mark.state !== "stopped"), { color: stateColour("completed") }),
        scatter(grid, own.filter((mark) => mark.isIn && mark.state === "stopped"), { color: "transparent", borderColor: stateColour("stopped"), borderWidth: 1.5 }),
      ];
    };
    const y = valueAxis(ends, this.log.isOn);
    const name = axisName(metric.name, 50);
    return {
      grid: [{ left, right: 20, top: 12, bottom: 44 }, { left: 70, width: nIdle ? LANE_PX - 8 : 0, top: 12, bottom: 44 }],
      xAxis: [parameterAxis(this.parameter, axisName(this.parameter.name, 24)), axis({ type: "value", gridIndex: 1, min: -0.5, max: 0.5, show: nIdle > 0, splitLine: { show: false }, axisTick: { show: false }, axisLabel: { customValues: [0], formatter: () => "not active" } })],
      yAxis: [{ ...y, ...(nIdle ? {} : name), axisLabel: { ...y.axisLabel, show: !nIdle }, axisTick: { show: !nIdle } }, { ...y, ...(nIdle ? name : {}), gridIndex: 1, show: nIdle > 0 }],
      ...brushOption({ xAxisIndex: 0 }),
      series: [this.boxes(), ...groups(0), ...groups(1)],
    };
  }

  boxes() {
    const { place, q25, q50, q75 } = this.data.slices[0].bins;
    const { parameter } = this;
    const isChoice = parameter.type === "categorical";
    const half = isChoice ? 0.32 : 0.5 / 12;
    const ends = (at) => (isChoice ? [Math.round(at * Math.max(1, parameter.choices.length - 1)) - half, Math.round(at * Math.max(1, parameter.choices.length - 1)) + half] : [valueAt(parameter, Math.max(0, at - half)), valueAt(parameter, Math.min(1, at + half))]);
    return {
      type: "custom", silent: true, clip: true, data: place.map((at, k) => [...ends(at), q25[k], q50[k], q75[k]]), encode: { x: [0, 1], y: [2, 3, 4] },
      renderItem: (_, api) => {
        const [x1, y1] = api.coord([api.value(0), api.value(4)]);
        const [x2, y2] = api.coord([api.value(1), api.value(2)]);
        const middle = api.coord([api.value(0), api.value(3)])[1];
        return { type: "group", children: [
          { type: "rect", shape: { x: x1 + 1, y: y1, width: Math.max(1, x2 - x1 - 2), height: Math.max(1, y2 - y1) }, style: { fill: token("series-1"), opacity: 0.14 } },
          { type: "line", shape: { x1: x1 + 1, x2: x2 - 1, y1: middle, y2: middle }, style: { stroke: token("series-1"), lineWidth: 2 } },
        ] };
      },
    };
  }

  // The brush picks a stretch of the parameter; the picked stretch is shown by it.
  brush(chart, isNew) {
    const stretch = stretchOf(this.parameter, this.context.selection.rules.get(this.parameter.name));
    brushOn(chart, isNew, "lineX", stretch && { xAxisIndex: 0, coordRange: stretch }, (range) => {
      this.context.selection.set([this.parameter.name, range ? ruleBetween(this.parameter, range[0], range[1]) : null]);
    });
  }
}

const firstOf = (context, name) => {
  const { space } = context.study().definition;
  return (space.find((parameter) => parameter.name === name) || space[0]).name;
};

// The parameter that the address names as `x` or `y`, else the first two of the study; `y` is another one than `x`,
// null where there is none.
export function chosen(context, key) {
  const x = firstOf(context, read("x"));
  if (key === "x") return x;
  const names = [read("y"), ...context.study().definition.space.map((parameter) => parameter.name)];
  return names.find((name) => name && name !== x && parameterOf(context.study(), name)) ?? null;
}
