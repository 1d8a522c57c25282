// What the suggester believes along one parameter: its prediction and how sure it is, or its two densities, and where
// it would look next.

import { el, fill, named } from "../../lib/dom.js";
import { duration, exact, number, plural, share } from "../../lib/format.js";
import { area, DASH, legend, LINE } from "../../lib/legend.js";
import { axis, token } from "../../lib/theme.js";
import { change, read } from "../../lib/view.js";
import { together } from "./together.js";
import { Plot } from "./plot.js";
import { extent, finite, jitter, parameterAxis, parameterOf, spot, valueAxis } from "./scale.js";

const names = (context) => context.study().definition.space.map(({ name }) => name);

const chosen = (context) => (names(context).includes(read("param")) ? read("param") : names(context)[0]);

const at = () => {
  const found = Number(read("at"));
  return Number.isInteger(found) && found >= 1 ? found : null;
};

class Slice extends Plot {
  constructor(context, told) {
    const select = el("select", { "aria-label": "Parameter", onchange: () => change({ param: select.value }) }, ...names(context).map((name) => el("option", { value: name }, name)));
    const input = el("input", { type: "number", min: 1, step: 1, class: "trial-number", "aria-label": "Through the point of trial", placeholder: "best" });
    input.addEventListener("change", () => change({ at: input.value === "" ? null : input.value }));
    super(context, { kind: "surrogate", keys: ["param", "at"], id: "surrogate", title: "Along one parameter", isOfMetric: true, className: "wide", height: 420, tools: [select, el("label", { class: "small" }, "through trial ", input)], help: "All other parameters stay as in the trial that the line goes through. Marks: trials near that line, the values they really got." });
    Object.assign(this, { select, input, told });
  }

  parameters() {
    this.select.value = chosen(this.context);
    this.input.value = at() ?? "";
    return { param: chosen(this.context), at: at() };
  }

  async render() {
    const { data } = this;
    const parameter = parameterOf(this.context.study(), chosen(this.context));
    this.told(data, parameter);
    const { x } = data.columns;
    if (!x.length) return this.panel.empty(this.nothing(data));
    const { metric } = this;
    const isDensity = data.columns.below.some((value) => value !== null);
    const marks = this.marks(parameter);
    return this.panel.show({
      sentence: this.sentence(data, parameter, metric, isDensity),
      caption: `${plural(x.length, "place")} along ${parameter.name}${data.at === null ? "" : ` through trial ${data.at}`}; ${isDensity ? `densities of ${plural(data.n_used, "trial")}` : `${marks.length} of ${plural(data.n_used, "trial")} shown, by rule "nearest to the line"`}${data.stale_by ? `; ${plural(data.stale_by, "change")} old, a newer one is being made` : ""}`,
      table: () => this.table(data, parameter, metric),
      points: isDensity ? x.map((value, k) => ({ x: spot(parameter, value), y: data.columns.above[k], tip: [[parameter.name, exact(value)], ["good", number(data.columns.below[k])], ["others", number(data.columns.above[k])]] })) : marks.map((mark) => ({ x: mark.x, y: mark.y, number: mark.number, tip: [["trial", mark.number], [parameter.name, exact(mark.raw)], [metric.name, exact(mark.y)]] })),
      option: () => (isDensity ? densities(data, parameter) : prediction(data, parameter, metric, marks)),
      notMerge: true,
    });
  }

  nothing(data) {
    if (data.why) return `${data.why.charAt(0).toUpperCase()}${data.why.slice(1)}.`;
    return data.model ? "The model is not fitted yet; it is when a few more trials have values." : "This suggester has no model to show.";
  }

  marks(parameter) {
    const { near } = this.data;
    const shift = parameter.type === "categorical" ? jitter : () => 0;
    return near.number.map((trial, k) => ({ number: trial, raw: near.x[k], x: spot(parameter, near.x[k]) + shift(trial), y: near.value[k] })).filter(({ y }) => finite(y));
  }

  sentence(data, parameter, metric, isDensity) {
    const { x, mean, sd, acquisition } = data.columns;
    const k = acquisition.reduce((best, value, here) => (value !== null && (best < 0 || value > acquisition[best]) ? here : best), -1);
    const where = k < 0 ? "" : `It would look next near ${parameter.name} ${exact(x[k])}`;
    if (isDensity) return `${where}: there the good trials are densest against the others.`;
    return `${where}${k < 0 || mean[k] === null ? "" : `, where it expects ${metric.name} ${number(mean[k])} plus or minus ${number(sd[k], 2)}`}.`;
  }

  table(data, parameter, metric) {
    const { x, mean, sd, below, above, acquisition } = data.columns;
    const isDensity = below.some((value) => value !== null);
    const heads = isDensity ? [parameter.name, "good trials", "other trials", data.acquisition_name] : [parameter.name, `${metric.name}, mean`, "sd", data.acquisition_name];
    return { heads, rows: x.map((value, k) => [typeof value === "number" ? value : String(value), ...(isDensity ? [below[k], above[k]] : [mean[k], sd[k]]), acquisition[k]]) };
  }
}

// What the lower axis is called.
const GAINS = { log_ei: "log gain", "log l - log g": "log ratio" };

// A gain that is so many e-folds below the largest is none.
const LOG_REACH = 20;

const GRIDS = [{ left: 64, right: 16, top: 48, height: "52%" }, { left: 64, right: 16, bottom: 44, height: "18%" }];

// The axis stands at the frame, not where the other one is 0.
const atFrame = () => ({ onZero: false, lineStyle: { color: token("edge") } });

// Choices have no way between them: marks instead of a line.
const stroke = (parameter, colour, more = {}) => (parameter.type === "categorical" ? { symbol: "rect", symbolSize: [26, 4], lineStyle: { opacity: 0 }, itemStyle: { color: colour } } : { symbol: "none", lineStyle: { color: colour, width: 2, ...more }, itemStyle: { color: colour } });

function frame(data, parameter, yAxis, series, shown) {
  const places = data.columns.x.map((value) => spot(parameter, value));
  const next = places.map((place, k) => [place, data.columns.acquisition[k]]).filter(([, value]) => value !== null);
  const high = Math.max(...next.map(([, value]) => value));
  const isLog = data.acquisition_name === "log_ei";
  const floor = isLog ? Math.max(Math.min(...next.map(([, value]) => value)), high - LOG_REACH) : null;
  return {
    legend: legend([...shown, { name: "where to look next", icon: LINE }]),
    grid: GRIDS,
    xAxis: [parameterAxis(parameter, { gridIndex: 0 }), parameterAxis(parameter, { gridIndex: 1, name: parameter.name.slice(0, 40), nameGap: 26 })].map((each, k) => ({ ...each, axisLine: atFrame(), axisLabel: { ...each.axisLabel, show: k === 1 } })),
    yAxis: [yAxis, axis({ type: "value", gridIndex: 1, scale: true, axisLine: atFrame(), min: floor, splitNumber: 2, name: GAINS[data.acquisition_name] || data.acquisition_name || "", nameGap: 46, axisLabel: { formatter: (value) => number(value, 3), showMinLabel: false } })],
    series: [...series, { name: "where to look next", type: "line", xAxisIndex: 1, yAxisIndex: 1, silent: true, data: next, ...stroke(parameter, token("series-2")), areaStyle: parameter.type === "categorical" ? undefined : { color: token("series-2"), opacity: 0.15, origin: "start" } }],
  };
}

function prediction(data, parameter, metric, marks) {
  const { x, mean, sd } = data.columns;
  const places = x.map((value) => spot(parameter, value));
  const lower = mean.map((value, k) => (value === null ? null : value - sd[k]));
  const ends = extent([...mean, ...lower, ...mean.map((value, k) => (value === null ? null : value + sd[k])), ...marks.map(({ y }) => y)]);
  const hidden = { symbol: "none", silent: true, type: "line", stack: "sd", stackStrategy: "all", lineStyle: { opacity: 0 } };
  const band = parameter.type === "categorical"
    ? [{ name: "± sd", type: "custom", silent: true, itemStyle: { color: token("series-1") }, data: places.map((place, k) => [place, lower[k], mean[k] + sd[k]]), encode: { x: 0, y: [1, 2] }, renderItem: whisker }]
    : [{ ...hidden, data: places.map((place, k) => [place, lower[k]]) }, { ...hidden, name: "± sd", itemStyle: { color: token("series-1") }, data: places.map((place, k) => [place, sd[k] === null ? null : 2 * sd[k]]), areaStyle: { color: token("series-1"), opacity: 0.18 } }];
  const line = { name: "expected", type: "line", silent: true, data: places.map((place, k) => [place, mean[k]]), ...stroke(parameter, token("series-1")) };
  const dots = { name: "trials near", type: "scatter", silent: true, symbolSize: 7, itemStyle: { color: token("state-completed"), opacity: 0.85 }, data: marks.map(({ x: at_, y }) => [at_, y]) };
  return frame(data, parameter, valueAxis(ends, false, { gridIndex: 0, axisLine: atFrame(), name: metric.name.slice(0, 28), nameGap: 46 }), [...band, line, dots], [{ name: "expected", icon: LINE }, area("± sd"), "trials near"]);
}

function whisker(_, api) {
  const [x, low] = api.coord([api.value(0), api.value(1)]);
  const [, high] = api.coord([api.value(0), api.value(2)]);
  return { type: "line", shape: { x1: x, y1: low, x2: x, y2: high }, style: { stroke: token("series-1"), lineWidth: 2 } };
}

function densities(data, parameter) {
  const { x, below, above } = data.columns;
  const places = x.map((value) => spot(parameter, value));
  const curve = (name, values, colour, more) => ({ name, type: "line", silent: true, data: places.map((place, k) => [place, values[k]]), ...stroke(parameter, colour, more) });
  const y = axis({ type: "value", gridIndex: 0, min: 0, axisLine: atFrame(), name: "density", nameGap: 46, axisLabel: { formatter: (value) => number(value, 3) } });
  return frame(data, parameter, y, [curve("good trials", below, token("state-completed")), curve("other trials", above, token("edge"), { type: "dashed" })], [{ name: "good trials", icon: LINE }, { name: "other trials", icon: DASH }]);
}

// The tab: facts in words, then the plot.
export function tab(context) {
  const facts = el("p", { class: "suggester-facts" });
  const told = (data) => {
    const model = data.model && data.model !== data.suggester ? [" (model: ", named(data.model), ")"] : [];
    const parts = [];
    if (data.model && data.n_used) parts.push(`fitted to ${plural(data.n_used, "trial")}${data.fit_ms ? ` in ${duration(data.fit_ms / 1000)}` : ""}`);
    if (data.fallback_share !== null) parts.push(data.fallback_share === 0 ? "none of the newest points is a fallback" : `${share(data.fallback_share)} of the newest points are fallbacks, quasi-random ones where the model was not ready`);
    fill(facts, el("strong", {}, named(data.suggester)), ...model, parts.length ? `: ${parts.join("; ")}.` : ".");
  };
  const plots = together([new Slice(context, told)]);
  return { ...plots, element: el("div", {}, facts, plots.element) };
}
