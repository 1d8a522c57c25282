// Studies over the same metric side by side. What is compared lives in the address.

import { get, getFresh, serverNow } from "../lib/api.js";
import { el, fill, morph, named, part, shown, stateBadge } from "../lib/dom.js";
import { duration, plural } from "../lib/format.js";
import "../lib/keys.js";
import { onEvents } from "../lib/live.js";
import { atMostEach, open, reader } from "../lib/page.js";
import { Panel } from "../lib/panel.js";
import * as view from "../lib/view.js";
import { bestSoFar, isPositive, swatch, toggle } from "./compare/chart.js";
import { differences, written } from "./compare/differences.js";

const MOST = 6;
const LIVE_MS = 2_000;

let drawn = ""; // what the chart shows, so that it is left alone when nothing has changed
let studies = [];

const ids = () => [...new Set((view.read("ids") || "").split(",").filter(Boolean))];
const x = () => (view.read("x") === "elapsed" ? "elapsed" : "number");
const isLog = () => view.read("log") === "1";
const path = (id) => `/v1/studies/${encodeURIComponent(id)}`;
const objectives = (study) => study.definition.metrics.filter((metric) => metric.role !== "constraint");

const tools = el("div", { class: "tools" });
const panel = new Panel({ id: "best", title: "Best so far", className: "wide", tools: [tools], height: 360 });

async function read() {
  const found = await Promise.all(ids().slice(0, MOST).map(one));
  const there = found.filter(({ study }) => study);
  const first = there.find(({ study }) => objectives(study).length === 1)?.study;
  const metric = first ? objectives(first)[0] : null;
  studies = there.filter(({ study }) => fits(study, metric)).map((each, k) => ({ ...each, k, name: each.study.name }));
  await Promise.all(studies.map(async (each) => (each.history = await getFresh(`${path(each.study.id)}/analysis/history`))));
  const others = (await get("/v1/studies", { page_size: 100, order_by: "-updated_at" })).studies;
  part("loading").hidden = true;
  part("empty").hidden = there.length > 0;
  showTitle(metric);
  showKeys();
  showRefused(found, metric);
  showOthers(others, metric);
  showChart(metric);
  showTables(metric);
}

const refresh = reader(read);

async function one(id) {
  try {
    return { id, study: await getFresh(path(id)) };
  } catch (error) {
    if (error.status !== 404) throw error;
    return { id, study: null };
  }
}

const fits = (study, metric) => metric && objectives(study).length === 1 && objectives(study)[0].name === metric.name && objectives(study)[0].direction === metric.direction;

const aim = (metric) => `${metric.direction === "maximize" ? "maximises" : "minimises"} ${metric.name}`;

function showTitle(metric) {
  const text = metric && studies.length ? `Compare ${plural(studies.length, "study", "studies")} by ${metric.name}` : "Compare";
  if (part("title").textContent !== text) part("title").textContent = text;
  document.title = `${text} - Tunewell`;
}

const change = (list) => view.change({ ids: list.join(",") }, { push: true });
const without = (id) => change(ids().filter((each) => each !== id));

function showKeys() {
  const lines = studies.map(({ study, k }) => el("li", { "data-id": study.id }, swatch(k), el("a", { href: `/studies/${encodeURIComponent(study.id)}` }, named(study.name)), stateBadge(study.state), remover(study.id, study.name)));
  morph(part("keys"), el("ul", { id: "keys", class: "compared", "aria-label": "Studies compared" }, ...lines));
}

const remover = (id, name) => el("button", { type: "button", class: "quiet", "data-remove": id, "aria-label": `Take ${name} out`, title: "Take out" }, "×");

document.addEventListener("click", (event) => {
  const id = event.target.closest?.("[data-remove]")?.dataset.remove;
  if (id) without(id);
});

function showRefused(found, metric) {
  const said = found.filter(({ study }) => !fitsOrNone(study, metric)).map(({ id, study }) => el("p", { class: "warnings" }, ...reason(id, study, metric), remover(id, study ? study.name : id)));
  if (ids().length > MOST) said.push(el("p", { class: "warnings" }, `At most ${MOST} studies are compared; the other ${ids().length - MOST} are left out.`));
  morph(part("refused"), el("div", { id: "refused", role: "status" }, ...said));
}

const fitsOrNone = (study, metric) => Boolean(study) && fits(study, metric);

function reason(id, study, metric) {
  if (!study) return [el("code", {}, id), " is left out: there is no such study (any more). "];
  const own = objectives(study);
  if (own.length > 1) return [named(study.name), ` is left out: it has ${own.length} objectives, so it has no single best value. `];
  return [named(study.name), ` is left out: it ${aim(own[0])}, while what is compared here ${aim(metric)}. `];
}

function showOthers(others, metric) {
  const chosen = ids();
  const free = others.filter((study) => !chosen.includes(study.id) && (metric ? fits(study, metric) : objectives(study).length === 1));
  part("add").hidden = !free.length || chosen.length >= MOST;
  const kept = part("other").value;
  fill(part("other"), ...free.map((study) => el("option", { value: study.id }, study.name.length > 60 ? `${study.name.slice(0, 59)}…` : study.name)));
  if (free.some((study) => study.id === kept)) part("other").value = kept;
}

part("add").addEventListener("submit", (event) => {
  event.preventDefault();
  if (part("other").value) change([...ids(), part("other").value]);
});

function showChart(metric) {
  if (!studies.length) {
    panel.element.remove();
    drawn = "";
    return;
  }
  const canLog = isPositive(studies);
  const log = isLog() && canLog;
  const now = JSON.stringify([x(), log, studies.map(({ study, history }) => [study.id, history.change_seq])]);
  if (now === drawn) return;
  drawn = now;
  if (!panel.element.isConnected) part("plots").append(panel.element);
  const logButton = toggle("log", "log", log, () => view.change({ log: log ? null : 1 }));
  logButton.disabled = !canLog;
  if (!canLog) logButton.title = `A logarithm needs values above 0; some ${metric.name} are not.`;
  const focus = document.activeElement?.id;
  tools.replaceChildren(
    toggle("by-number", "by trials", x() === "number", () => view.change({ x: null })),
    toggle("by-time", "by time", x() === "elapsed", () => view.change({ x: "elapsed" })), logButton);
  if (["log", "by-number", "by-time"].includes(focus)) part(focus)?.focus();
  const chart = bestSoFar(studies, metric, x(), log);
  if (chart.isEmpty) panel.empty("The first line begins when a trial ends with a value.");
  else panel.show({ ...chart, notMerge: true });
}

function showTables(metric) {
  const made = el("div", { id: "tables" });
  if (studies.length) made.append(bestTable(metric), ...(studies.length > 1 ? [differenceTable()] : []));
  morph(part("tables"), made);
}

const heads = (first) => el("thead", {}, el("tr", {}, el("th", { scope: "col" }, first), ...studies.map(({ study, k }) => el("th", { scope: "col" }, swatch(k), " ", named(study.name)))));

const framed = (id, title, head, rows, note = null) =>
  el("section", { class: "panel table-panel", "aria-labelledby": id }, el("h2", { id }, title), note, el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-labelledby": id }, el("table", {}, head, el("tbody", {}, ...rows))));

function bestTable(metric) {
  const row = (name, ...cells) => el("tr", {}, el("th", { scope: "row" }, name), ...cells.map((cell) => el("td", {}, cell)));
  const best = studies.map(({ study }) => study.best);
  const winners = winnersOf(best.map((trial) => trial?.values[metric.name]), metric.direction);
  const values = el("tr", {}, el("th", { scope: "row" }, el("bdi", {}, metric.name), ` (${metric.direction === "maximize" ? "larger" : "smaller"} is better)`),
    ...best.map((trial, k) => el("td", { class: winners.includes(k) ? "is-best" : null }, trial ? shown(trial.values[metric.name]) : "-", winners.includes(k) ? " best" : "")));
  const params = [...new Set(studies.flatMap(({ study }) => study.definition.space.map((each) => each.name)))];
  return framed("best-points", "Best points", heads("At the best trial"), [
    values,
    row("Trial", ...best.map((trial) => (trial ? el("a", { href: `/trials/${encodeURIComponent(trial.id)}` }, `#${trial.number}`) : "-"))),
    row("Trials ended", ...studies.map(({ study }) => ended(study.trial_counts))),
    row("Took", ...studies.map(({ study }) => took(study))),
    ...params.map((name) => row(el("bdi", {}, name), ...best.map((trial, k) => at(studies[k].study, trial, name)))),
  ]);
}

function at({ definition }, trial, name) {
  if (!trial || !definition.space.some((each) => each.name === name)) return "-";
  return name in trial.params ? shown(trial.params[name]) : "not active";
}

function winnersOf(values, direction) {
  const sign = direction === "maximize" ? 1 : -1;
  const known = values.map((value, k) => [value, k]).filter(([value]) => typeof value === "number");
  const top = Math.max(...known.map(([value]) => sign * value));
  return known.length > 1 ? known.filter(([value]) => sign * value === top).map(([, k]) => k) : [];
}

function ended(counts) {
  const n = (...states) => states.reduce((sum, state) => sum + (counts[state] || 0), 0);
  const failed = n("failed") ? `, ${n("failed")} failed` : "";
  return `${n("completed", "stopped", "infeasible")}${failed}`;
}

const took = ({ started_at: from, ended_at: to }) => (from ? `${duration(((to ? Date.parse(to) : serverNow()) - Date.parse(from)) / 1000)}${to ? "" : " so far"}` : "-");

function differenceTable() {
  const rows = differences(studies.map(({ study }) => study.definition));
  if (!rows.length) return el("section", { class: "panel table-panel" }, el("h2", {}, "Differences of the definitions"), el("p", {}, "They are the same but for their names."));
  return framed("differences", "Differences of the definitions", heads("Where"), rows.map(([where, values]) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, where)), ...values.map((value) => el("td", {}, el("bdi", {}, written(value)))))));
}

view.onChange(() => refresh());
const live = atMostEach(LIVE_MS, refresh);
onEvents((events) => events.some((event) => event.kind === "reset" || (event.kind !== "trial.measurement" && ids().includes(event.study_id))) && live());
await open(refresh);
