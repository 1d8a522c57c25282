// Do we stop the right ones: who came to each rung of the early-stopping rule, who went on, and with which values.

import { exact, number, plural } from "../../lib/format.js";
import { legend } from "../../lib/legend.js";
import { axis, DASHES, stateColour, token } from "../../lib/theme.js";
import { together } from "./together.js";
import { captionOf, objectives } from "./common.js";
import { Plot } from "./plot.js";
import { CutSwitch, extent, jitter, LogSwitch, valueAxis } from "./scale.js";

const FATES = [
  { name: "promoted", colour: () => token("series-1"), symbol: "triangle", told: "went on" },
  { name: "finished", colour: () => stateColour("completed"), symbol: "circle", told: "finished" },
  { name: "running", colour: () => stateColour("running"), isHollow: true, symbol: "emptyCircle", told: "running" },
  { name: "waiting", colour: () => stateColour("paused"), isHollow: true, symbol: "emptyDiamond", told: "waiting" },
  { name: "stopped", colour: () => stateColour("stopped"), symbol: "rect", told: "stopped" },
  { name: "failed", colour: () => stateColour("failed"), symbol: "path://M0,0L2,0L5,3L8,0L10,0L6,5L10,10L8,10L5,7L2,10L0,10L4,5Z", told: "failed" },
];

const NONE = "No early stopping in this study: each trial runs to its end. A study made with early_stopping shows here who came to each rung.";
const NOT_YET = "No trial has come to a rung yet. The first bar appears when one begins.";

const labelOf = ({ bracket, resource }) => `${bracket === null ? "" : `b${bracket} `}step ${resource}`;

class Rungs extends Plot {
  constructor(context) {
    super(context, { kind: "rungs", id: "rungs", title: "Who came to each rung", height: 320, help: "A trial counts at each rung that it was sent to. Hollow: it waits there, or runs toward it." });
  }

  async render() {
    const rows = rowsOf(this.data);
    const isWithout = this.context.study().definition.early_stopping.name === "none";
    if (!rows.length) return this.panel.empty(isWithout ? NONE : NOT_YET);
    const fates = FATES.filter(({ name }) => rows.some((row) => row[name] > 0));
    return this.panel.show({
      sentence: `${rows.map((row) => `${labelOf(row)}: ${row.entered} came, ${row.promoted} went on, ${row.stopped} stopped, ${row.waiting} waiting`).join("; ")}.`,
      caption: `${plural(rows.length, "rung")}${this.data.n_brackets > 1 ? ` of ${plural(this.data.n_brackets, "bracket")}` : ""}; ${captionOf({ ...this.data, n_shown: this.data.n_used, sampling: "all" }, " trials")}`,
      table: { heads: ["Bracket", "Rung", "Step", "Came", "Went on", "Finished", "Running", "Waiting", "Stopped", "Failed", "Cutoff"], rows: rows.map((row) => [row.bracket, row.rung, row.resource, row.entered, row.promoted, row.finished, row.running, row.waiting, row.stopped, row.failed, row.cutoff]) },
      points: rows.map((row, k) => ({ x: k, y: row.entered, tip: [["", labelOf(row)], ["came", row.entered], ...FATES.filter(({ name }) => row[name]).map(({ name, told }) => [told, row[name]]), ["cutoff", number(row.cutoff)]] })),
      pick: (x, y) => this.pick(rows, x, y),
      option: () => ({
        grid: { left: 48, right: 12, top: 34, bottom: 40 },
        legend: legend(fates.map(({ told }) => told)),
        xAxis: axis({ type: "category", data: rows.map(labelOf), axisLabel: { interval: 0, hideOverlap: true } }),
        yAxis: axis({ type: "value", name: "trials", nameGap: 34, minInterval: 1 }),
        series: fates.map((fate) => ({ name: fate.told, type: "bar", stack: "n", silent: true, barMaxWidth: 48, itemStyle: styleOf(fate), data: rows.map((row) => row[fate.name] || null) })),
      }),
      notMerge: true,
    });
  }

  pick(rows, x, y) {
    const [at] = this.panel.chart.convertFromPixel({ gridIndex: 0 }, [x, y]) || [];
    return at === undefined || at < 0 || at >= rows.length ? -1 : Math.round(at);
  }
}

const styleOf = ({ colour, isHollow }) => (isHollow ? { color: token("panel"), borderColor: colour(), borderWidth: 2 } : { color: colour(), borderColor: token("panel"), borderWidth: 1 });

function rowsOf({ columns }) {
  return columns.rung.map((rung, k) => ({
    bracket: columns.bracket[k], rung, resource: columns.resource[k], entered: columns.n_entered[k], cutoff: columns.cutoff[k],
    ...Object.fromEntries(FATES.map(({ name }) => [name, columns[`n_${name}`]?.[k] ?? 0])),
  }));
}

class Decisions extends Plot {
  constructor(context) {
    const log = new LogSwitch("decisions");
    const cut = new CutSwitch(() => this.redraw());
    super(context, { kind: "rungs", keys: ["log"], id: "decisions", title: "Values at the rungs", height: 320, tools: [log.element, cut.element], help: "A mark a trial and rung. The line is the cutoff: the worst value that went on." });
    Object.assign(this, { log, cut });
  }

  async render() {
    const { points } = this.data;
    const rows = rowsOf(this.data);
    const isWithout = this.context.study().definition.early_stopping.name === "none";
    const marks = points.number.map((trial, k) => ({ number: trial, value: points.value[k], fate: points.decision[k], row: rows.findIndex((row) => row.bracket === points.bracket[k] && row.rung === points.rung[k]) })).filter(({ value, row }) => value !== null && row >= 0);
    if (!marks.length) return this.panel.empty(isWithout ? NONE : "No value has come in at a rung yet. A mark appears when a trial reports at one.");
    const [metric] = objectives(this.context.study().definition);
    const values = marks.map(({ value }) => value);
    const ends = extent(values, { isWhole: this.cut.isWhole });
    this.cut.show(ends);
    this.log.allow(values.filter((value) => value >= ends.low && value <= ends.high));
    const nWild = points.number.length - marks.length;
    const inside = marks.filter(({ value }) => value >= ends.low && value <= ends.high).map((mark) => ({ ...mark, x: mark.row + 0.8 * jitter(mark.number), y: mark.value }));
    return this.panel.show({
      sentence: `${plural(marks.length, "value")} of ${metric.name} at ${plural(rows.length, "rung")}. ${rows.filter((row) => row.cutoff !== null).map((row) => `Cutoff at ${labelOf(row)}: ${number(row.cutoff)}`).join("; ")}.`,
      caption: `${captionOf({ ...this.data, excluded: {} }, " trials")}${nWild ? `; ${nWild} not finite` : ""}${ends.outside ? `; ${ends.outside} outside` : ""}`,
      table: () => ({ heads: ["Trial", "Rung", metric.name, "What became of it"], rows: marks.map((mark) => [mark.number, labelOf(rows[mark.row]), mark.value, mark.fate]) }),
      points: inside.map((mark) => ({ x: mark.x, y: mark.y, number: mark.number, tip: [["trial", mark.number], [metric.name, exact(mark.value)], ["", labelOf(rows[mark.row])], ["", FATES.find(({ name }) => name === mark.fate)?.told || mark.fate]] })),
      option: () => this.option(inside, rows, ends, metric),
      notMerge: true,
    });
  }

  option(marks, rows, ends, metric) {
    const fates = FATES.filter(({ name }) => marks.some(({ fate }) => fate === name));
    const places = rows.map((_, k) => k);
    const cutoffs = rows.flatMap((row, k) => (row.cutoff === null || row.cutoff < ends.low || row.cutoff > ends.high ? [] : [[{ coord: [k - 0.45, row.cutoff], lineStyle: { type: DASHES[(row.bracket ?? 0) % 3] } }, { coord: [k + 0.45, row.cutoff] }]]));
    return {
      grid: { left: 60, right: 12, top: 34, bottom: 40 },
      legend: legend(fates.map(({ told }) => told)),
      xAxis: axis({ type: "value", min: -0.5, max: rows.length - 0.5, splitLine: { show: false }, axisTick: { customValues: places }, axisLabel: { customValues: places, formatter: (value) => (rows[value] ? labelOf(rows[value]) : "") } }),
      yAxis: valueAxis(ends, this.log.isOn, { name: metric.name.slice(0, 24), nameGap: 44, axisLine: { onZero: false, lineStyle: { color: token("edge") } } }),
      series: [
        ...fates.map((fate) => ({ name: fate.told, type: "scatter", silent: true, progressive: 0, symbol: fate.symbol, symbolSize: 8, itemStyle: { color: fate.colour(), opacity: 0.9 }, data: marks.filter((mark) => mark.fate === fate.name).map((mark) => [mark.x, mark.y]) })),
        { type: "line", data: [], silent: true, markLine: { symbol: "none", silent: true, label: { show: false }, lineStyle: { color: token("ink"), width: 1.5, type: "solid" }, data: cutoffs } },
      ],
    };
  }
}

export const tab = (context) => together([new Rungs(context), new Decisions(context)]);

