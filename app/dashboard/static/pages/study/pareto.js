// What trades off against what, and whether the front still moves.

import { el } from "../../lib/dom.js";
import { duration, exact, number, plural } from "../../lib/format.js";
import { axis, stateColour, token } from "../../lib/theme.js";
import { change, read } from "../../lib/view.js";
import { together } from "./together.js";
import { captionOf, Key, objectives } from "./common.js";
import { Plot } from "./plot.js";
import { extent, valueAxis } from "./scale.js";

const ONE = "A front takes two objectives, this study has one: its best trial is in the overview. A study with two metrics shows here what trades off.";
const CROSS = "path://M0,0L2,0L5,3L8,0L10,0L6,5L10,10L8,10L5,7L2,10L0,10L4,5Z";

const MARKS = { front: "on the front", beaten: "beaten by another", infeasible: "breaks a constraint" };

// Which two metrics are on the axes, by the address; the third is the size.
function chosen(names) {
  const x = names.includes(read("x")) ? read("x") : names[0];
  const y = names.includes(read("y")) && read("y") !== x ? read("y") : names.find((name) => name !== x);
  return { x, y };
}

class Front extends Plot {
  constructor(context) {
    const names = objectives(context.study().definition).map(({ name }) => name);
    const select = (key, label) => el("select", { "aria-label": label, onchange: (event) => change({ [key]: event.target.value }) }, ...names.map((name) => el("option", { value: name }, name)));
    const [x, y] = [select("x", "Metric across"), select("y", "Metric upward")];
    x.hidden = names.length < 3;
    y.hidden = names.length < 3;
    super(context, { kind: "pareto", keys: ["x", "y"], id: "front", title: "Pareto front", height: 340, tools: [x, y], help: "A trial on the front is beaten by no other in all objectives. Crosses break a constraint." });
    Object.assign(this, { names, selects: { x, y }, key: new Key(this.panel) });
  }

  async render() {
    const { data, names } = this;
    if (names.length < 2) return this.panel.empty(ONE);
    const numbers = data.columns.number;
    if (!numbers.length) return this.panel.empty(data.why || "No trial has all its values yet. The first mark appears when one completes.");
    const axes = chosen(names);
    [this.selects.x.value, this.selects.y.value] = [axes.x, axes.y];
    const at = (name) => data.columns[`v${names.indexOf(name)}`];
    const third = names.length === 3 ? names.find((name) => name !== axes.x && name !== axes.y) : null;
    const marks = numbers.map((trial, k) => ({ number: trial, x: at(axes.x)[k], y: at(axes.y)[k], z: third ? at(third)[k] : null, isOnFront: data.columns.on_front[k], isFeasible: data.columns.is_feasible[k], k })).filter(({ x, y }) => x !== null && y !== null);
    const ends = { x: extent(marks.map((mark) => mark.x)), y: extent(marks.map((mark) => mark.y)) };
    const inside = marks.filter((mark) => ["x", "y"].every((each) => mark[each] >= ends[each].low && mark[each] <= ends[each].high));
    const nFront = marks.filter(({ isOnFront }) => isOnFront).length;
    const sizes = third ? sizing(marks) : () => null;
    const values = (mark) => names.map((name) => [name, exact(valueOf(data, names, name, mark.k))]);
    const isThere = { front: nFront, beaten: marks.some((mark) => mark.isFeasible && !mark.isOnFront), infeasible: data.n_infeasible };
    this.key.show(Object.entries(MARKS).filter(([mark]) => isThere[mark]));
    const nOutside = marks.length - inside.length;
    return this.panel.show({
      sentence: `${plural(nFront, "trial is", "trials are")} on the front of ${names.join(" and ")}: ${this.range(marks, axes)}.`,
      caption: `${captionOf(data, " trials")}; ${nFront} on the front${data.n_infeasible ? `; ${data.n_infeasible} break a constraint (crosses)` : ""}${third ? `; the larger the mark, the better ${third}` : ""}${nOutside ? `; ${nOutside} outside` : ""}`,
      table: () => ({ heads: ["Trial", ...names, "On the front", "Feasible"], rows: marks.map((mark) => [mark.number, ...names.map((name) => valueOf(data, names, name, mark.k)), mark.isOnFront ? "yes" : "no", mark.isFeasible ? "yes" : "no"]) }),
      points: inside.map((mark) => ({ x: mark.x, y: mark.y, number: mark.number, tip: [["trial", mark.number], ...values(mark), ["", mark.isOnFront ? "on the front" : mark.isFeasible ? "beaten by another" : "breaks a constraint"]] })),
      option: () => this.option(inside, axes, ends, sizes),
      notMerge: true,
    });

    function sizing(all) {
      const direction = data.metrics[names.indexOf(third)].direction;
      const found = all.map(({ z }) => z).filter((z) => z !== null);
      const [low, high] = [Math.min(...found), Math.max(...found)];
      return ({ z }) => {
        const part = z === null || high === low ? 0.5 : (z - low) / (high - low);
        return 5 + 13 * (direction === "maximize" ? part : 1 - part);
      };
    }
  }

  range(marks, { x, y }) {
    const front = marks.filter(({ isOnFront }) => isOnFront).sort((a, b) => a.x - b.x);
    if (!front.length) return "nothing feasible yet";
    return `from ${x} ${number(front[0].x)} with ${y} ${number(front[0].y)} to ${x} ${number(front.at(-1).x)} with ${y} ${number(front.at(-1).y)}`;
  }

  option(marks, axes, ends, sizes) {
    const { names } = this;
    const front = marks.filter(({ isOnFront }) => isOnFront).sort((a, b) => a.x - b.x);
    const better = (name) => (this.data.metrics[names.indexOf(name)].direction === "maximize" ? "more is better" : "less is better");
    const size = (mark) => sizes(mark) ?? (mark.isOnFront ? 9 : 6);
    const of = (kept, more) => ({ type: "scatter", silent: true, progressive: 0, data: kept.map((mark) => ({ value: [mark.x, mark.y], symbolSize: size(mark) })), ...more });
    return {
      grid: { left: 70, right: 16, top: 12, bottom: 46 },
      xAxis: valueAxis(ends.x, false, { name: `${axes.x.slice(0, 28)}, ${better(axes.x)}`, nameGap: 28 }),
      yAxis: valueAxis(ends.y, false, { name: `${axes.y.slice(0, 24)}, ${better(axes.y)}`, nameGap: 50 }),
      series: [
        ...(names.length === 2 ? [{ type: "line", silent: true, symbol: "none", step: stepOf(this.data.metrics), lineStyle: { color: token("series-1"), width: 1.5 }, data: front.map(({ x, y }) => [x, y]) }] : []),
        of(marks.filter((mark) => mark.isFeasible && !mark.isOnFront), { itemStyle: { color: token("edge"), opacity: 0.55 } }),
        of(marks.filter((mark) => !mark.isFeasible), { symbol: CROSS, itemStyle: { color: stateColour("infeasible") } }),
        of(front, { itemStyle: { color: token("series-1"), borderColor: token("panel"), borderWidth: 1 } }),
      ],
    };
  }
}

const valueOf = (data, names, name, k) => data.columns[`v${names.indexOf(name)}`][k];

// The corner between two neighbours on the front lies on the side that both beat.
const stepOf = ([first]) => (first.direction === "minimize" ? "end" : "start");

class Hypervolume extends Plot {
  constructor(context) {
    super(context, { kind: "pareto", keys: ["over"], id: "hypervolume", title: "Hypervolume", height: 340, help: "The part of the space, up to the reference point, that the front beats. It grows when the front moves.", tools: [] });
    this.over = el("select", { "aria-label": "Over trials or time", onchange: () => change({ over: this.over.value === "number" ? null : this.over.value }) }, el("option", { value: "number" }, "over trials"), el("option", { value: "elapsed" }, "over time"));
    this.panel.tools.append(this.over);
  }

  async render() {
    const { hypervolume, reference, metrics, n_total: total } = this.data;
    this.over.value = read("over") === "elapsed" ? "elapsed" : "number";
    if (metrics.length < 2) return this.panel.empty(ONE);
    if (!hypervolume.value.length) return this.panel.empty(this.data.columns.number.length ? "No reference point yet: it takes two trials that differ in every objective." : "The hypervolume begins with the first trial that has all its values.");
    const isTime = this.over.value === "elapsed";
    const x = isTime ? hypervolume.elapsed_s : hypervolume.number;
    const last = hypervolume.value.at(-1);
    const points = x.map((at, k) => [at, hypervolume.value[k]]);
    const end = isTime ? Math.max(...x) : total;
    return this.panel.show({
      sentence: `Hypervolume ${number(last)} after ${plural(hypervolume.value.length, "gain")}, the last by trial ${hypervolume.number.at(-1)} of ${total}.`,
      caption: `${plural(points.length, "gain")} shown; reference ${metrics.map(({ name }, k) => `${name} ${number(reference[k])}`).join(", ")}`,
      table: { heads: ["Trial", "Elapsed, s", "Hypervolume"], rows: points.map((_, k) => [hypervolume.number[k], hypervolume.elapsed_s[k], hypervolume.value[k]]) },
      points: points.map(([at, value], k) => ({ x: at, y: value, number: hypervolume.number[k], tip: [["trial", hypervolume.number[k]], ["hypervolume", exact(value)], ["after", duration(hypervolume.elapsed_s[k])]] })),
      option: () => ({
        grid: { left: 60, right: 16, top: 12, bottom: 46 },
        xAxis: axis({ type: "value", min: isTime ? 0 : 1, max: end > (isTime ? 0 : 1) ? end : null, name: isTime ? "since the first start" : "trial", nameGap: 28, axisLabel: { formatter: (value) => (isTime ? (value === 0 ? "0 s" : duration(value)) : number(value)) } }),
        yAxis: axis({ type: "value", axisLabel: { formatter: (value) => number(value, 3) } }),
        series: [
          { type: "custom", silent: true, data: [[end, last]], renderItem: (_, api) => ({ type: "polyline", shape: { points: corners(points, end).map((corner) => api.coord(corner)) }, style: { fill: "none", stroke: token("series-2"), lineWidth: 2 } }) },
          { type: "scatter", silent: true, symbolSize: 5, itemStyle: { color: token("series-2") }, data: points },
        ],
      }),
      notMerge: true,
    });
  }
}

// A staircase through the gains: the library's own line leaves out small steps, so that it leans.
const corners = (points, end) => [...points.flatMap(([x, y], k) => (k ? [[x, points[k - 1][1]], [x, y]] : [[x, y]])), [end, points.at(-1)[1]]];

export const tab = (context) => together([new Front(context), new Hypervolume(context)]);
