// How two parameters act together: the forest's mean over both, and the trials it was learned from. What is far from
// every trial is left blank.

import { el } from "../../lib/dom.js";
import { number, words } from "../../lib/format.js";
import { ramp, token } from "../../lib/theme.js";
import { captionOf } from "./common.js";
import { Plot } from "./plot.js";
import { Range, ruleBetween, stretchOf } from "./ranges.js";
import { brushOn, brushOption, extent, finite, isMaximized, jitter, parameterAxis, parameterOf, short, spot } from "./scale.js";
import { chosen, parameterSelect } from "./slice.js";

const MOST = 1_000;

export class Contour extends Plot {
  constructor(context) {
    const x = parameterSelect(context, "x", () => chosen(context, "x"), "Parameter across");
    const y = parameterSelect(context, "y", () => chosen(context, "y"), "Parameter up");
    const tools = [el("label", {}, "across", x), el("label", {}, "up", y)];
    super(context, { kind: "contour", keys: ["x", "y"], id: "contour", title: "Two parameters", isOfMetric: true, tools, height: 360, help: "The mean that a random forest expects over two parameters, all others averaged out; blank where no trial is near. Drag to pick a rectangle." });
    this.selects = { x, y };
    this.ranges = [];
    this.ranged = "";
  }

  get axes() {
    const study = this.context.study();
    return ["x", "y"].map((key) => parameterOf(study, chosen(this.context, key)));
  }

  parameters() {
    const [x, y] = this.axes;
    if (!y) return null;
    this.selects.x.value = x.name;
    this.selects.y.value = y.name;
    return { param: [x.name, y.name], max_points: MOST };
  }

  showRanges() {
    const names = this.axes.map((parameter) => parameter.name).join("\n");
    if (names !== this.ranged) {
      this.ranges.forEach((range) => range.element.remove());
      this.ranges = this.axes.map((parameter) => new Range(this.context, parameter));
      this.panel.caption.before(...this.ranges.map((range) => range.element));
      this.ranged = names;
    }
    this.ranges.forEach((range) => range.refresh());
  }

  async render() {
    const { data } = this;
    const { metric } = this;
    if (!data) return this.panel.empty("This plot needs two parameters; the study has one. The slice shows it.");
    this.showRanges();
    const { columns } = data;
    if (!columns.number.length) return this.panel.empty(`No completed trial has both ${this.axes.map((each) => each.name).join(" and ")} active. Choose two other parameters.`);
    const marks = this.marks();
    const { surface } = data;
    const model = surface ? `; forest of ${surface.learned_from} trials, R2 ${number(surface.r2_oob, 2)}${surface.r2_oob < 0.3 ? ", which explains too little" : ""}` : `; the surface needs ${data.needs} trials with both active`;
    const [x, y] = this.axes;
    return this.panel.show({
      sentence: this.sentence(marks, metric),
      caption: captionOf(data) + model,
      table: () => ({ heads: ["Trial", x.name, y.name, metric.name, "State"], rows: columns.number.map((trial, k) => [trial, columns.x[k], columns.y[k], columns.value[k], words(data.states[columns.state[k]])]) }),
      points: marks.map((mark) => ({ ...mark, tip: [["trial", String(mark.number)], [x.name, String(mark.rawX)], [y.name, String(mark.rawY)], [metric.name, String(mark.value)]] })),
      option: () => this.option(marks, metric),
      notMerge: true,
      onReady: (chart, isNew) => this.brush(chart, isNew),
    });
  }

  marks() {
    const { columns } = this.data;
    const [x, y] = this.axes;
    const place = (parameter, value, salt) => spot(parameter, value) + (parameter.type === "categorical" ? jitter(salt) : 0);
    return columns.number.map((trial, k) => ({ x: place(x, columns.x[k], trial), y: place(y, columns.y[k], trial + 7), rawX: columns.x[k], rawY: columns.y[k], value: columns.value[k], number: trial, isIn: this.context.selection.includes(trial) }));
  }

  sentence(marks, metric) {
    if (!metric.direction) return `${metric.name} over ${this.axes.map(({ name }) => name).join(" and ")}: ${marks.length} trials`;
    const sign = isMaximized(metric) ? -1 : 1;
    const best = [...marks].sort((a, b) => sign * (a.value - b.value)).slice(0, Math.max(1, Math.ceil(marks.length / 5)));
    const side = (parameter, values) => (parameter.type === "categorical" ? `${parameter.name} ${[...new Set(values)].join(" or ")}` : `${parameter.name} ${number(Math.min(...values))} to ${number(Math.max(...values))}`);
    const [x, y] = this.axes;
    return `${metric.name} over ${x.name} and ${y.name}: the best fifth lies at ${side(x, best.map((mark) => mark.rawX))}, ${side(y, best.map((mark) => mark.rawY))}`;
  }

  option(marks, metric) {
    const { surface } = this.data;
    const cells = surface ? this.cells() : [];
    const [x, y] = this.axes;
    const values = cells.length ? cells.map((cell) => cell[4]) : marks.map((mark) => mark.value);
    const ends = extent(values);
    const colours = isMaximized(metric) ? ramp() : [...ramp()].reverse();
    const scatter = (found, itemStyle) => ({ type: "scatter", symbolSize: 6, progressive: 0, silent: true, z: 3, itemStyle, data: found.map((mark) => [mark.x, mark.y, mark.value]) });
    return {
      grid: { left: 72, right: 92, top: 12, bottom: 44 },
      xAxis: this.axis(0, { name: short(x.name, 40), nameGap: 26 }),
      yAxis: this.axis(1, { name: short(y.name, 40), nameGap: 54 }),
      visualMap: { type: "continuous", min: ends.low, max: ends.high === ends.low ? ends.low + 1 : ends.high, dimension: cells.length ? 4 : 2, seriesIndex: cells.length ? 0 : 2, inRange: { color: colours }, right: 0, top: "middle", itemHeight: 200, itemWidth: 12, text: [number(ends.high, 3), number(ends.low, 3)], textStyle: { color: token("soft"), fontSize: 11 }, hoverLink: false, calculable: false },
      ...brushOption({ xAxisIndex: 0, yAxisIndex: 0 }),
      series: [
        { type: "custom", silent: true, clip: true, progressive: 0, data: cells, encode: { x: [0, 1], y: [2, 3] }, renderItem: cell },
        scatter(marks.filter((mark) => !mark.isIn), { color: "transparent", borderColor: token("edge"), borderWidth: 1, opacity: 0.4 }),
        scatter(marks.filter((mark) => mark.isIn), { color: cells.length ? token("panel") : undefined, borderColor: token("ink"), borderWidth: 1.2 }),
      ],
    };
  }

  // Borders of the surface's cells along an axis: [from, to] of each.
  borders(k) {
    const { surface } = this.data;
    const parameter = this.axes[k];
    const choices = k ? surface.y_choices : surface.x_choices;
    if (choices) return choices.map((choice) => parameter.choices.indexOf(choice)).map((at) => [at - 0.5, at + 0.5]);
    const edges = k ? surface.y_edges : surface.x_edges;
    return edges.slice(1).map((to, j) => [edges[j], to]);
  }

  // [x from, x to, y from, y to, mean] of each cell that is explored.
  cells() {
    const [across, up] = [this.borders(0), this.borders(1)];
    const { mean } = this.data.surface;
    return mean.flatMap((value, k) => (finite(value) ? [[...across[Math.floor(k / up.length)], ...up[k % up.length], value]] : []));
  }

  // The axis of a parameter, as far as its cells reach: those of whole numbers stand half a step over the ends.
  axis(k, given) {
    const parameter = this.axes[k];
    const borders = this.data.surface && parameter.type !== "categorical" ? this.borders(k) : null;
    const ends = borders ? { min: Math.min(parameter.low, borders[0][0]), max: Math.max(parameter.high, borders.at(-1)[1]) } : {};
    return parameterAxis(parameter, { ...ends, splitLine: { show: false }, ...given });
  }

  brush(chart, isNew) {
    const { rules } = this.context.selection;
    const stretches = this.axes.map((parameter) => stretchOf(parameter, rules.get(parameter.name)));
    const [x, y] = this.axes;
    const whole = (parameter) => (parameter.type === "categorical" ? [-0.5, parameter.choices.length - 0.5] : [parameter.low, parameter.high]);
    const coordRange = stretches.some(Boolean) ? [stretches[0] || whole(x), stretches[1] || whole(y)] : null;
    brushOn(chart, isNew, "rect", coordRange && { xAxisIndex: 0, yAxisIndex: 0, coordRange }, (range) => {
      const found = this.axes.map((parameter, k) => [parameter.name, range ? ruleBetween(parameter, range[k][0], range[k][1]) : null]);
      this.context.selection.set(...found);
    });
  }
}

function cell(_, api) {
  const [x1, y1] = api.coord([api.value(0), api.value(3)]);
  const [x2, y2] = api.coord([api.value(1), api.value(2)]);
  // A pixel over the edge: no seams between cells.
  return { type: "rect", shape: { x: x1, y: y1, width: Math.abs(x2 - x1) + 1, height: Math.abs(y2 - y1) + 1 }, style: { fill: api.visual("color") } };
}
