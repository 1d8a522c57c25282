// The table of trials: pages from the service, in any order that it knows; columns chosen; what is shown as CSV, curl or
// Python. New trials wait behind a button while the pointer or the focus is in the table.

import { address, get } from "../../lib/api.js";
import { announce, copy, el, fill, named, stateBadge } from "../../lib/dom.js";
import { number, plural, words } from "../../lib/format.js";
import { onKey } from "../../lib/keys.js";
import { explain } from "../../lib/session.js";
import { change, onChange, read } from "../../lib/view.js";
import { allColumns, choose, chosenColumns, evenly, reset } from "./columns.js";
import { isEnded, objectives, pickedTrials } from "./common.js";
import { curlOf, keywords, python, pythonOf } from "../../lib/snippets.js";
import { isMaximized } from "./scale.js";

const STATES = ["pending", "running", "paused", "completed", "stopped", "infeasible", "failed", "cancelled"];
const CALM_MS = 2_000;
const KEYS = ["sort", "cols", "state", "find"];

const open = new Set(); // tables on the page, for the keys

export class Trials {
  constructor(context, { size = 25 } = {}) {
    Object.assign(this, { context, size, isOpen: false, pages: [null], trials: [], next: null, news: new Set(), timer: null, flight: 0 });
    this.build();
    context.selection.onChange(() => this.restart());
    onChange((names) => {
      if (names === null || names.some((name) => KEYS.includes(name))) this.restart();
      else if (names.includes("at") && this.isOpen && this.columns) this.showPicked();
    });
  }

  build() {
    this.title = el("h2", { id: "trials-title" }, "Trials");
    this.waiting = el("button", { type: "button", class: "primary waiting", hidden: true, onclick: () => this.restart() });
    this.csv = el("a", { class: "button", download: true }, "CSV");
    this.tools = el("div", { class: "tools" }, this.columnMenu(), this.csv, ...this.copyButtons());
    this.chips = el("span", { class: "chips" });
    this.filters = el("div", { class: "filters" }, this.search(), this.chips);
    this.head = el("thead");
    this.body = el("tbody");
    this.table = el("table", { class: "trials", "aria-labelledby": "trials-title" }, this.head, this.body);
    this.scroll = el("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": "Table of trials" }, this.table);
    this.message = el("p", { class: "nothing", hidden: true });
    this.foot = el("div", { class: "table-foot" });
    this.element = el("section", { class: "panel wide", id: "trials", "aria-labelledby": "trials-title" },
      el("div", { class: "panel-head" }, this.title, this.waiting, this.tools), this.filters, this.scroll, this.message, this.foot);
    this.body.addEventListener("change", (event) => event.target.matches("input[data-pick]") && this.pick(event.target));
    this.body.addEventListener("click", (event) => this.unfold(event));
  }

  // --- what is asked ---

  get sort() {
    const [metric] = objectives(this.context.study().definition);
    return read("sort") || (isMaximized(metric) ? "-value" : "value");
  }

  get states() {
    return (read("state") || "").split(",").filter((state) => STATES.includes(state));
  }

  asked() {
    const found = Number((read("find") || "").replace(/^#/, ""));
    if (Number.isInteger(found) && found > 0) return { where: `number:${found}` };
    return { order_by: this.sort, where: this.context.selection.where(this.states) };
  }

  // --- live ---

  async show() {
    this.isOpen = true;
    open.add(this);
    await this.load();
  }

  leave() {
    this.isOpen = false;
    open.delete(this);
    clearTimeout(this.timer);
    this.timer = null;
  }

  restart() {
    this.pages = [null];
    if (this.isOpen) this.load().catch(explain);
  }

  update(events) {
    if (events.some((event) => event.kind === "reset")) return this.restart();
    const byId = new Map(this.trials.map((trial) => [trial.id, trial]));
    for (const event of events) {
      const trial = byId.get(event.trial_id);
      if (event.kind === "trial.state") this.apply(trial, event);
      else if (event.kind === "trial.measurement" && trial) this.showRow(trial);
    }
    this.offer();
    return undefined;
  }

  apply(trial, { data, trial_id: id }) {
    if (trial) {
      Object.assign(trial, { state: data.state, values: data.values, step: data.step, started_at: data.started_at, ended_at: data.ended_at });
      this.showRow(trial);
    }
    if (!trial || isEnded(data.state)) this.news.add(id); // its place in the order may be another one now
  }

  get isTouched() {
    return this.body.matches(":hover") || this.body.contains(document.activeElement) || String(getSelection()) !== "" || this.pages.length > 1;
  }

  offer() {
    if (!this.news.size) return;
    if (this.isTouched) {
      this.waiting.hidden = false;
      this.waiting.textContent = `${plural(this.news.size, "changed trial")}: show`;
      return;
    }
    this.timer = this.timer || setTimeout(() => {
      this.timer = null;
      if (this.isTouched) this.offer();
      else if (this.isOpen) this.load().catch(explain);
    }, CALM_MS);
  }

  // --- reading and drawing ---

  async load() {
    const flight = (this.flight += 1);
    const token = this.pages.at(-1);
    this.element.setAttribute("aria-busy", "true");
    this.news.clear(); // what happens from here on may be newer than the answer
    let page;
    try {
      page = await get(`${this.context.base}/trials`, { ...this.asked(), page_size: this.size, page_token: token });
    } catch (error) {
      if (flight !== this.flight) return;
      if (error.status !== 422) throw error;
      this.refused(error);
      return;
    }
    if (flight !== this.flight) return;
    this.trials = page.trials;
    this.next = page.next_page_token;
    this.waiting.hidden = true;
    this.render();
    this.offer();
  }

  // An address that somebody has written by hand.
  refused(error) {
    this.trials = [];
    this.next = null;
    this.render();
    fill(this.message, `${error.message}. `, el("button", { type: "button", onclick: () => change({ sort: null, state: null, sel: null }) }, "Show all trials"));
    this.message.hidden = false;
  }

  render() {
    this.element.setAttribute("aria-busy", "false");
    this.columns = evenly(chosenColumns(this.context.study()), this.trials);
    this.showTitle();
    this.showTools();
    this.showFilters();
    const sorted = this.head.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
    fill(this.head, this.headRow());
    if (sorted) this.head.querySelector(`[data-sort="${CSS.escape(sorted)}"]`)?.focus();
    this.rows();
    this.showFoot();
    this.message.hidden = this.trials.length > 0;
    this.scroll.hidden = !this.trials.length;
    fill(this.message, this.emptyText());
  }

  // Rows that stay keep their elements, so that focus and hover stay too.
  rows() {
    this.pickedNow = pickedTrials();
    const known = new Map([...this.body.rows].map((row) => [row.dataset.id, row]));
    const wanted = this.trials.map((trial) => {
      const row = this.row(trial);
      const there = known.get(trial.id);
      if (!there) return row;
      this.merge(there, row);
      return there;
    });
    wanted.forEach((row, k) => this.body.rows[k] !== row && this.body.insertBefore(row, this.body.rows[k] || null));
    while (this.body.rows.length > wanted.length) this.body.rows[this.body.rows.length - 1].remove();
  }

  merge(there, row) {
    there.className = row.className;
    fill(there, ...[...row.cells]);
  }

  showRow(trial) {
    this.pickedNow = pickedTrials();
    const there = [...this.body.rows].find((row) => row.dataset.id === trial.id);
    if (there) this.merge(there, this.row(trial));
  }

  row(trial) {
    const { best } = this.context.study();
    const isBest = best?.id === trial.id;
    const place = `/trials/${encodeURIComponent(trial.id)}`;
    const pick = el("input", { type: "checkbox", "data-pick": trial.number, "aria-label": `Pick trial ${trial.number}`, checked: this.pickedNow.has(trial.number) });
    const more = el("button", { type: "button", class: "quiet unfold", "aria-expanded": "false", "aria-label": `More of trial ${trial.number}` }, "▾");
    const cells = this.columns.map((each) => el("td", { class: each.isNumber ? "num" : null, "data-label": each.title, "data-column": each.id }, each.cell(trial)));
    return el("tr", { "data-id": trial.id, "data-number": trial.number, class: isBest ? "is-best" : null },
      el("td", { class: "pick" }, pick),
      el("th", { scope: "row", class: "num" }, el("a", { href: place, "data-row": true }, trial.number), isBest ? el("span", { class: "small" }, " best") : null),
      el("td", { class: "state-cell", "data-label": "State" }, stateBadge(trial.state), this.progress(trial)), ...cells, el("td", { class: "fold" }, more));
  }

  progress(trial) {
    const running = trial.state === "running" ? this.context.running.get(trial.number) : null;
    if (!running?.step) return null;
    const to = trial.to_step ? `/${trial.to_step}` : "";
    const value = typeof running.value === "number" ? ` ${number(running.value)}` : "";
    return el("span", { class: "small" }, ` step ${running.step}${to}${value}`);
  }

  headRow() {
    const columns = this.columns.map((each) => this.headCell(each.sort, each.isOwn ? named(each.title) : each.title, each.isNumber));
    return el("tr", {}, el("th", { scope: "col", class: "pick" }, el("span", { class: "unseen" }, "Pick")), this.headCell("number", "#", true), el("th", { scope: "col" }, "State"), ...columns, el("th", { class: "fold" }, el("span", { class: "unseen" }, "More")));
  }

  headCell(sort, title, isNumber) {
    const cls = isNumber ? "num" : null;
    if (!sort) return el("th", { scope: "col", class: cls }, title);
    const isUp = this.sort === sort;
    const isDown = this.sort === `-${sort}`;
    const order = isUp ? "ascending" : isDown ? "descending" : null;
    const button = el("button", { type: "button", "data-sort": sort, onclick: () => this.sortBy(sort) }, title, el("span", { "aria-hidden": true }, isUp ? "▲" : isDown ? "▼" : ""));
    return el("th", { scope: "col", class: cls, "aria-sort": order }, button);
  }

  sortBy(sort) {
    const to = this.sort === sort ? `-${sort}` : this.sort === `-${sort}` ? sort : sort === "number" || sort === "created_at" ? `-${sort}` : sort;
    announce(`Sorted by ${sort.replace("param:", "")}, ${to.startsWith("-") ? "descending" : "ascending"}`, { now: true });
    change({ sort: to });
  }

  emptyText() {
    if (this.trials.length) return "";
    if (read("find")) return `There is no trial ${read("find")}.`;
    if (!this.context.selection.isEmpty || this.states.length) return "No trial is in what is picked. Widen the range, or clear it.";
    return "No trial yet. They appear when a worker, or your own code, asks for one.";
  }

  showTitle() {
    const { selection } = this.context;
    const counts = this.context.study().trial_counts;
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    const picked = selection.isEmpty ? "" : `: ${selection.numbers === null ? "" : `${selection.numbers.size} `}selected of ${total}`;
    this.title.textContent = `Trials${picked}`;
  }

  // --- tools ---

  showTools() {
    this.csv.href = address(`${this.context.base}/export`, { format: "csv", ...this.asked() });
    this.fillMenu();
    if (document.activeElement !== this.finder) this.finder.value = read("find") || "";
  }

  copyButtons() {
    return [
      el("button", { type: "button", onclick: () => this.copyCurl() }, "Copy curl"),
      el("button", { type: "button", onclick: () => this.copyPython() }, "Copy Python"),
    ];
  }

  copyCurl() {
    return copy(curlOf(`${this.context.base}/trials`, { asked: { ...this.asked(), page_size: this.size } }), "curl");
  }

  copyPython() {
    const shown = `trials = list(islice(client.trials(${python(this.context.id)}${keywords(this.asked())}), ${this.size}))`;
    return copy(`from itertools import islice\n\n${pythonOf(shown)}`, "Python");
  }

  search() {
    this.finder = el("input", { type: "search", placeholder: "#4711", "aria-label": "Find a trial by its number", size: 8 });
    this.finder.addEventListener("search", () => this.finder.value === "" && change({ find: null }));
    const form = el("form", { role: "search", class: "find" }, this.finder);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      change({ find: this.finder.value.trim() || null });
    });
    return form;
  }

  columnMenu() {
    this.menuBody = el("div", { class: "menu-body" });
    this.menu = el("details", { class: "menu" }, el("summary", { class: "button" }, "Columns"), this.menuBody);
    this.menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.menu.open = false;
      this.menu.querySelector("summary").focus();
    });
    this.menuBody.addEventListener("change", () => choose(this.context.study(), [...this.menuBody.querySelectorAll("input:checked")].map((box) => box.value)));
    document.addEventListener("pointerdown", (event) => !this.menu.contains(event.target) && (this.menu.open = false));
    return this.menu;
  }

  fillMenu() {
    if (this.menu.open && this.menuBody.childElementCount) return; // under the reader's hand
    const chosen = new Set(this.columns.map(({ id }) => id));
    const boxes = allColumns(this.context.study()).map(({ id, title, isOwn }) => el("label", {}, el("input", { type: "checkbox", value: id, checked: chosen.has(id) }), " ", isOwn ? named(title) : title));
    const usual = el("button", { type: "button", onclick: () => ((this.menu.open = false), reset(this.context.study())) }, "The usual ones");
    this.menuBody.replaceChildren(...boxes, usual);
  }

  showFilters() {
    const { selection } = this.context;
    const counts = this.context.study().trial_counts;
    const states = STATES.filter((state) => counts[state] || this.states.includes(state)).map((state) => {
      const isOn = this.states.includes(state);
      const to = isOn ? this.states.filter((each) => each !== state) : [...this.states, state];
      return el("button", { type: "button", class: "quiet chip", "data-state": state, "aria-pressed": String(isOn), onclick: () => change({ state: to.join(",") || null }) }, `${words(state)} ${counts[state] || 0}`);
    });
    const chips = [...selection.rules.keys()].map((name) => el("button", { type: "button", class: "chip picked", title: "Take this out of the selection", onclick: () => selection.set([name, null]) }, named(selection.told(name)), " ×"));
    const picked = pickedTrials();
    const rows = picked.size ? el("button", { type: "button", class: "chip picked", onclick: () => change({ at: null }) }, `${plural(picked.size, "trial")} picked ×`) : null;
    fill(this.chips, ...states, ...chips, rows, picked.size === 1 ? this.enqueueLike([...picked][0]) : null);
  }

  // A point like the one that is picked, for who may.
  enqueueLike(number) {
    if (!this.context.mayWrite || !["active", "paused"].includes(this.context.study().state)) return null;
    const run = async () => {
      const [{ enqueue }, { trials }] = await Promise.all([import("./enqueue.js"), get(`${this.context.base}/trials`, { where: `number:${number}`, page_size: 1 })]);
      if (trials.length) await enqueue(this.context.study(), trials[0].params, number);
    };
    return el("button", { type: "button", class: "chip", onclick: () => run().catch(explain) }, `Enqueue like ${number}`);
  }

  showFoot() {
    const from = (this.pages.length - 1) * this.size + 1;
    const to = from + this.trials.length - 1;
    const order = this.sort.replace(/^-/, "").replace("param:", "");
    const told = this.trials.length && !read("find") ? `${from} to ${to}${this.totalText(to)}, by ${order}; trials without it come last` : "";
    const before = el("button", { type: "button", disabled: this.pages.length === 1, onclick: () => this.turn(-1) }, "Previous");
    const after = el("button", { type: "button", disabled: this.next === null, onclick: () => this.turn(1) }, "Next");
    fill(this.foot, el("span", { class: "small" }, told), before, after);
  }

  totalText(to) {
    if (this.next === null) return ` of ${to} shown`;
    const { numbers, isEmpty } = this.context.selection;
    if (!isEmpty) return numbers === null || this.states.length ? " shown" : ` of ${numbers.size} shown`;
    const counts = Object.entries(this.context.study().trial_counts).filter(([state]) => !this.states.length || this.states.includes(state));
    return ` of ${counts.reduce((sum, [, n]) => sum + n, 0)} shown`;
  }

  turn(by) {
    if (by > 0) this.pages.push(this.next);
    else this.pages.pop();
    this.load().then(() => this.scroll.focus({ preventScroll: true })).catch(explain);
  }

  // --- rows by hand ---

  showPicked() {
    const picked = pickedTrials();
    for (const box of this.body.querySelectorAll("input[data-pick]")) box.checked = picked.has(Number(box.dataset.pick));
    this.showFilters();
  }

  // Picked trials are ringed in the plots, and their curves are drawn on top.
  pick(box) {
    const picked = pickedTrials();
    const trial = Number(box.dataset.pick);
    if (box.checked) picked.add(trial);
    else picked.delete(trial);
    change({ at: [...picked].join(",") || null });
  }

  unfold(event) {
    const button = event.target.closest("button.unfold");
    if (!button) return;
    const row = button.closest("tr");
    const isWide = row.classList.toggle("is-open");
    button.setAttribute("aria-expanded", String(isWide));
  }

  get links() {
    return [...this.body.querySelectorAll("a[data-row]")];
  }

  step(by) {
    const { links } = this;
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    const to = links[Math.min(links.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    to.focus();
    to.scrollIntoView({ block: "nearest" });
  }

  pickFocused() {
    const row = document.activeElement?.closest("tr[data-id]");
    const box = row?.querySelector("input[data-pick]");
    if (box) box.click();
  }
}

const onTable = (run) => () => open.forEach(run);
onKey("j", "next row", onTable((table) => table.step(1)));
onKey("k", "previous row", onTable((table) => table.step(-1)));
onKey("x", "pick the row", onTable((table) => table.pickFocused()));
onKey("c", "copy what the table shows as curl", onTable((table) => table.copyCurl()));
onKey("/", "find a trial", onTable((table) => (table.scroll.closest("section").scrollIntoView({ block: "start" }), table.finder?.focus())));

export function tab(context) {
  return new Trials(context, { size: 100 });
}
