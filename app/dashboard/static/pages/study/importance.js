// Which parameter matters: shares of the metric's variance as a forest of trees sees them, a block for each condition.

import { condition, number, plural, share } from "../../lib/format.js";
import { el } from "../../lib/dom.js";
import { change, read } from "../../lib/view.js";
import { axis, FONT, series, token } from "../../lib/theme.js";
import { Plot } from "./plot.js";
import { short } from "./scale.js";

const ROW_PX = 20;
const LEAST_R2 = 0.3;
const NOTHING = {
  value: "All completed trials have the same value: there is nothing to explain. More trials may differ.",
  duration: "All completed trials took equally long: there is nothing to explain.",
  failed: "Either all trials failed or none did: there is nothing to explain.",
};
const SMALL = 0.05; // smaller shares come out too low: not told to the percent
const HELP = "How much of the metric's variation each parameter explains, by functional ANOVA on a random forest over the completed trials. R2 says how well the forest foretells trials it has not seen. Bars are means over trees, whiskers 5 to 95 %; the spread shows sampling only, and small shares come out too low.";

const TARGETS = { value: "the value", duration: "how long trials take", failed: "which trials fail" };
const LEARNED = { value: "completed trials", duration: "completed trials", failed: "ended trials" };

const shareText = (value) => (value < SMALL ? "under 5 %" : share(value));

export class Importance extends Plot {
  constructor(context, { isFull = false } = {}) {
    const select = el("select", { "aria-label": "What is explained", onchange: () => change({ target: select.value === "value" ? null : select.value }) }, ...Object.entries(TARGETS).map(([name, text]) => el("option", { value: name }, text)));
    super(context, { kind: "importance", keys: isFull ? ["target"] : [], id: "importance", title: "Parameter importance", isOfMetric: true, tools: isFull ? [el("label", {}, "for", select)] : [], help: HELP, height: isFull ? 420 : 280 });
    Object.assign(this, { isFull, select });
  }

  // The overview asks for the value only, ahead of its modules.
  get target() {
    return this.isFull && read("target") in TARGETS ? read("target") : "value";
  }

  parameters() {
    this.select.value = this.target;
    return this.target === "value" ? {} : { target: this.target };
  }

  get height() {
    return this.isFull ? 640 : this.panel.box.clientHeight || 280;
  }

  // Rows from above: {name, share, low, high} or {title} of a block.
  rows() {
    const { columns, blocks } = this.data;
    const all = columns.param.map((param, k) => ({ block: columns.block[k], param, pair: columns.pair[k], share: columns.share[k], low: columns.low[k], high: columns.high[k] }));
    const always = new Set(all.filter((row) => row.block === 0 && row.pair === null).map((row) => row.param));
    return blocks.flatMap((block, k) => {
      const own = all.filter((row) => row.block === k);
      const singles = own.filter((row) => row.pair === null && (k === 0 || !always.has(row.param)));
      const pairs = this.isFull ? own.filter((row) => row.pair !== null && row.share >= SMALL).slice(0, 3) : [];
      const shown = [...singles, ...pairs].map((row) => ({ ...row, name: row.pair === null ? row.param : `${row.param} × ${row.pair}`, isPair: row.pair !== null, isWeak: (block.r2_oob ?? 0) < LEAST_R2 }));
      if (k > 0 && block.r2_oob === null) return [{ title: `${condition(block.condition)} (${plural(block.n, "trial")} so far, too few to tell)` }];
      if (k === 0 || !shown.length) return shown;
      return [{ title: `${condition(block.condition)} (${plural(block.n, "trial")}, R2 ${number(block.r2_oob, 2)})` }, ...shown];
    });
  }

  async render() {
    const { data } = this;
    if (data.needs) return this.panel.empty(`Needs ${data.needs} ${LEARNED[this.target]}, ${data.n_used} so far.`);
    const rows = this.rows();
    if (rows.every((row) => row.title || !row.share)) return this.panel.empty(NOTHING[this.target]);
    const most = Math.max(4, Math.floor((this.height - 40) / ROW_PX));
    const shown = rows.slice(0, most);
    if (this.isFull) this.panel.box.style.height = `${Math.max(140, shown.length * 26 + 44)}px`;
    const [block] = data.blocks;
    const isWeak = block.r2_oob < LEAST_R2;
    const singles = rows.filter((row) => !row.title);
    const hidden = rows.length > most ? `; ${shown.filter((row) => !row.title).length} of ${singles.length} rows drawn, the largest first` : "";
    const weak = isWeak ? "; the model explains too little to trust the bars" : "";
    return this.panel.show({
      sentence: `Of ${this.target === "value" ? this.metric.name : TARGETS[this.target]}: ${singles.slice(0, 3).map((row) => `${row.name} explains ${shareText(row.share)} (${share(row.low)} to ${share(row.high)})`).join(", ")}. R2 ${number(block.r2_oob, 2)}${isWeak ? ", the model explains too little" : ""}`,
      caption: `R2 ${number(block.r2_oob, 2)} on ${plural(block.n, "trial")}${weak}; ${share(block.unexplained)} by no single parameter${data.clip < 1 ? `; the worst ${share(1 - data.clip)} count as one value` : ""}${hidden}`,
      table: () => this.table(),
      points: shown.flatMap((row, k) => (row.title ? [] : [{ x: Math.min(row.share, 1), y: k, tip: [["", row.name], ["share", shareText(row.share)], ["5 to 95 % over trees", `${share(row.low)} to ${share(row.high)}`]] }])),
      option: () => this.option(shown),
      notMerge: true,
    });
  }

  table() {
    const { columns, blocks } = this.data;
    const where = (k) => (blocks[columns.block[k]].condition ? condition(blocks[columns.block[k]].condition) : "always");
    return { heads: ["Parameter", "With", "Where", "Share", "5 %", "95 %", "R2"], rows: columns.param.map((param, k) => [param, columns.pair[k] ?? "", where(k), columns.share[k], columns.low[k], columns.high[k], blocks[columns.block[k]].r2_oob]) };
  }

  option(rows) {
    const width = this.panel.box.clientWidth || 600;
    const left = Math.min(220, Math.round(width * 0.34));
    const letters = Math.max(8, Math.floor(left / 7));
    const color = (row) => (row.isWeak ? token("edge") : row.isPair ? series(3) : series(0));
    return {
      grid: { left: left + 8, right: 56, top: 8, bottom: 28 },
      xAxis: axis({ type: "value", splitNumber: width < 420 ? 3 : 5, min: 0, max: Math.min(1, Math.ceil(10 * Math.max(0.1, ...rows.filter((row) => !row.title).map((row) => row.high))) / 10), axisLabel: { formatter: (value) => share(value) } }),
      yAxis: axis({ type: "category", inverse: true, splitLine: { show: false }, axisTick: { show: false }, data: rows.map((_, k) => k), axisLabel: { interval: 0, formatter: (k) => (rows[k].title ? "" : short(rows[k].name, letters)) } }),
      series: [
        { type: "bar", barMaxWidth: 12, silent: true, data: rows.map((row) => (row.title ? { value: 0 } : { value: row.share, itemStyle: { color: color(row), opacity: row.isWeak ? 0.5 : 1 } })) },
        { type: "custom", silent: true, data: rows.map((row, k) => (row.title ? [0, 0, k, 0] : [row.low, row.high, k, row.share])), encode: { x: [0, 1], y: 2 }, renderItem: (_, api) => this.whisker(api, rows), clip: false },
      ],
    };
  }

  whisker(api, rows) {
    const k = api.value(2);
    const [x1, y] = api.coord([api.value(0), k]);
    if (rows[k].title) return { type: "text", style: { text: short(rows[k].title, Math.floor((this.panel.box.clientWidth || 600) / 7)), x: 0, y, verticalAlign: "middle", fill: token("soft"), fontSize: 11, fontFamily: FONT, fontStyle: "italic" } };
    const [x2] = api.coord([Math.min(1, api.value(1)), k]);
    const style = { stroke: token("ink"), lineWidth: 1.2, opacity: 0.8 };
    const line = (ax, ay, bx, by) => ({ type: "line", shape: { x1: ax, y1: ay, x2: bx, y2: by }, style });
    const text = { type: "text", style: { text: shareText(rows[k].share), x: Math.max(x2, api.coord([rows[k].share, k])[0]) + 6, y, verticalAlign: "middle", fill: token("soft"), fontSize: 11, fontFamily: FONT } };
    return { type: "group", children: [line(x1, y, x2, y), line(x1, y - 3, x1, y + 3), line(x2, y - 3, x2, y + 3), text] };
  }
}
