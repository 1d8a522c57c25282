// A panel: a plot with its title, its caption ("41 of 41 shown"), a sentence for those who listen, the same numbers
// as a table, and what to say where there is nothing to draw. The chart is made when its panel is first seen and
// disposed of when it is left. Tooltips are ours: the library's write style attributes, which our policy refuses.

import { announce, el, fill } from "./dom.js";
import { onTheme } from "./theme.js";

const LIBRARY = "/static/vendor/echarts-6.1.0.min.js";
const MOST_ROWS = 500;

let loading = null;
const library = () => (loading = loading || import(LIBRARY));

// The library gives the children of a custom mark the level of their series, which it leaves undefined.
function leveled(option) {
  for (const series of option.series || []) if (series.type === "custom") series.zlevel = series.zlevel ?? 0;
  return option;
}

const panels = new Set();
onTheme(() => panels.forEach((panel) => panel.redraw()));

export class Panel {
  // title: what the panel shows. className: "wide" for the whole width. tools: elements beside the title.
  // link(number): where a trial's number leads, or a promise of it; height in px; onSeen(): it came into sight.
  constructor({ id, title, help = "", className = "", tools = [], link = null, height = 280, onSeen = null }) {
    this.id = id;
    this.link = link;
    this.onSeen = onSeen;
    this.shown = null;
    this.chart = null;
    this.at = -1;
    this.pointed = -1;
    this.pixels = null;
    this.copies = null; // makes what stands above the table: how to get the same by a call
    this.box = el("div", { class: "chart", role: "img", tabindex: 0, "aria-label": title });
    this.box.style.height = `${height}px`;
    this.message = el("div", { class: "nothing", hidden: true });
    this.tip = el("div", { class: "tip", hidden: true });
    this.tools = el("div", { class: "tools" }, ...tools);
    this.caption = el("p", { class: "small caption" });
    this.rows = el("details", { class: "as-table" }, el("summary", {}, "Show as table"));
    this.rows.addEventListener("toggle", () => this.fillTable());
    this.title = el("span", {}, title);
    const heading = el("h2", { id: `${id}-title` }, this.title);
    if (help) heading.append(" ", el("span", { class: "help", title: help, role: "note", "aria-label": help }, "?"));
    this.element = el("section", { class: `panel ${className}`, id, "aria-labelledby": `${id}-title`, "aria-busy": true },
      el("div", { class: "panel-head" }, heading, this.tools),
      el("div", { class: "chart-frame" }, this.box, this.message, this.tip), this.caption, this.rows);
    this.listen();
    panels.add(this);
    new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.comeIntoSight(), { rootMargin: "200px" }).observe(this.element);
    new ResizeObserver(() => {
      this.pixels = null;
      this.chart?.resize();
    }).observe(this.box);
  }

  setTitle(text) {
    if (this.title.textContent !== text) this.title.textContent = text;
  }

  // What is to be seen now.
  //   option(): the chart's option, called at each redraw so that it reads the theme's colours
  //   sentence: what the plot says, for a screen reader
  //   caption: how many of how many, by which rule
  //   table: {heads, rows}: rows of text and numbers, or a function that makes them
  //   points: [{x, y, series?, grid?, number?, tip}] in the order that arrow keys walk; tip is text, a list of
  //     [term, value] or a function that makes one
  //   pick(x, y): place among the points of what lies under a pixel, -1 for none; the nearest point if it is not given
  //   onPoint(k): another point is pointed at; -1: none
  //   notMerge: the option replaces the one before
  //   onReady(chart, isNew): the option was set
  show({ option, sentence, caption = "", table = null, points = [], pick = null, onPoint = null, notMerge = false, onReady = null }) {
    this.shown = { option, sentence, table, points, pick, onPoint, notMerge, onReady };
    this.pixels = null;
    this.message.hidden = true;
    this.box.hidden = false;
    this.rows.hidden = table === null;
    this.element.setAttribute("aria-busy", "false");
    this.box.setAttribute("aria-label", sentence);
    if (this.caption.textContent !== caption) this.caption.textContent = caption;
    this.fillTable();
    return this.redraw();
  }

  // Nothing to draw: what is missing, and the next step.
  empty(text, sentence = text) {
    this.shown = null;
    this.release();
    this.box.hidden = true;
    this.rows.hidden = true;
    this.caption.textContent = "";
    this.message.hidden = false;
    this.message.setAttribute("role", "note");
    this.message.style.minHeight = this.box.style.height;
    fill(this.message, el("p", { title: sentence }, text));
    this.element.setAttribute("aria-busy", "false");
  }

  // Fails alone: the other panels go on.
  fail(error, again = null) {
    this.empty("");
    const id = error.requestId ? el("p", { class: "small" }, `Request id: ${error.requestId}`) : null;
    const button = again ? el("button", { type: "button", onclick: again }, "Try again") : null;
    this.message.setAttribute("role", "alert");
    fill(this.message, el("p", {}, `This plot could not be read: ${error.message}`), id, button);
  }

  comeIntoSight() {
    this.onSeen?.();
    this.redraw().catch((error) => this.fail(error));
  }

  isSeen() {
    const { top, bottom } = this.element.getBoundingClientRect();
    return this.element.isConnected && this.element.offsetParent !== null && bottom > -200 && top < innerHeight + 200;
  }

  async redraw() {
    if (!this.shown || !this.isSeen()) return;
    const { init } = await library();
    if (!this.shown || !this.element.isConnected) return;
    const isNew = this.chart === null;
    if (isNew) this.chart = this.make(init);
    const { option, notMerge, onReady } = this.shown;
    this.chart.setOption(leveled({ animation: false, ...option(this.chart) }), { notMerge: notMerge || isNew, lazyUpdate: false });
    this.pixels = null;
    this.element.dataset.drawn = "true";
    if (onReady) onReady(this.chart, isNew);
  }

  make(init) {
    const chart = init(this.box, null, { renderer: "canvas" });
    chart.getZr().on("mousemove", (event) => this.hover(event.offsetX, event.offsetY));
    chart.getZr().on("globalout", () => this.hideTip());
    chart.getZr().on("click", (event) => this.open(this.nearest(event.offsetX, event.offsetY)));
    chart.on("datazoom", () => (this.pixels = null));
    return chart;
  }

  release() {
    this.chart?.dispose();
    this.chart = null;
    this.hideTip();
    delete this.element.dataset.drawn;
  }

  // --- pointing and walking ---

  place(point) {
    const where = point.series === undefined ? { gridIndex: point.grid || 0 } : { seriesIndex: point.series };
    return this.chart.convertToPixel(where, [point.x, point.y]);
  }

  // Pixels of the points: computed once for each drawing, not for each move of the pointer.
  places() {
    if (this.pixels === null) this.pixels = (this.shown?.points || []).map((point) => this.place(point) || [NaN, NaN]);
    return this.pixels;
  }

  nearest(x, y, reach = 16) {
    if (this.shown?.pick) return this.shown.pick(x, y);
    let found = -1;
    let least = reach * reach;
    this.places().forEach(([px, py], k) => {
      const away = (px - x) ** 2 + (py - y) ** 2;
      if (away < least) [found, least] = [k, away];
    });
    return found;
  }

  hover(x, y) {
    const k = this.nearest(x, y);
    if (k < 0) return this.hideTip();
    this.box.style.cursor = this.shown.points[k].number && this.link ? "pointer" : "default";
    return this.showTip(k);
  }

  pointAt(k) {
    if (k === this.pointed) return;
    this.pointed = k;
    this.shown?.onPoint?.(k);
  }

  showTip(k) {
    const point = this.shown.points[k];
    const [x, y] = this.places()[k];
    const tip = typeof point.tip === "function" ? point.tip() : point.tip;
    const lines = Array.isArray(tip) ? tip.map(([term, value]) => el("div", {}, el("span", { class: "soft" }, `${term} `), value)) : [tip];
    this.pointAt(k);
    fill(this.tip, ...lines);
    this.tip.hidden = false;
    const left = Math.min(Math.max(4, x + 12), this.box.clientWidth - this.tip.offsetWidth - 4);
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${Math.max(0, y - this.tip.offsetHeight - 10)}px`;
  }

  hideTip() {
    this.tip.hidden = true;
    this.pointAt(-1);
    this.box.style.cursor = "default";
  }

  async open(k) {
    const point = this.shown?.points[k];
    if (point?.number && this.link) location.href = await this.link(point.number);
  }

  listen() {
    this.box.addEventListener("keydown", (event) => {
      const points = this.shown?.points || [];
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") this.hideTip();
      else if (event.key === "Enter") this.open(this.at);
      else if (step && points.length && this.chart) {
        event.preventDefault();
        this.at = Math.min(points.length - 1, Math.max(0, this.at + step));
        this.showTip(this.at);
        announce(this.tip.innerText.replaceAll("\n", ", "), { now: true });
      }
    });
    this.box.addEventListener("blur", () => this.hideTip());
  }

  fillTable() {
    if (!this.rows.open || !this.shown?.table) return;
    const { heads, rows } = typeof this.shown.table === "function" ? this.shown.table() : this.shown.table;
    const body = rows.slice(0, MOST_ROWS).map((row) => el("tr", {}, ...row.map((cell) => el("td", { class: typeof cell === "number" ? "num" : null }, cell === null ? "-" : cell))));
    const head = el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)));
    const note = rows.length > MOST_ROWS ? el("p", { class: "small" }, `The first ${MOST_ROWS} of ${rows.length} rows.`) : null;
    const table = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of this plot" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
    fill(this.rows, el("summary", {}, "Show as table"), this.copies?.(), table, note);
  }
}
