// One study: its facts, its best-so-far plot and its trials, kept up to date from its event stream.

import { allIsWell, ApiError, events, explain, get, live, pause } from "./api.js";
import { el, named, progress, shownDuration, shownNumber, stateBadge } from "./dom.js";
import { draw } from "./plot.js";

const id = decodeURIComponent(location.pathname.split("/")[2] || "");
const base = `/v1/studies/${encodeURIComponent(id)}`;
const part = (name) => document.getElementById(name);
const MOST_ROWS = 200;

let study = null;
const trials = new Map();
const opened = new Set();

async function readTrials(since) {
  let token = null;
  do {
    const asked = { page_size: 1000, ...(since === null ? {} : { changed_since: since }), ...(token ? { page_token: token } : {}) };
    const page = await get(`${base}/trials`, asked);
    for (const trial of page.trials) trials.set(trial.number, trial);
    token = page.next_page_token;
  } while (token);
}

async function readAll() {
  trials.clear();
  study = await get(base);
  await readTrials(null);
  show();
}

async function readNews() {
  const since = study.change_seq;
  study = await get(base);
  await readTrials(since);
  show();
}

function fact(term, content) {
  return el("div", {}, el("dt", {}, term), el("dd", {}, content));
}

function showFacts(metric) {
  const { definition, best, trial_counts: counts } = study;
  const value = best ? el("span", {}, `${shownNumber(best.values[metric.name])} `, el("small", {}, `trial ${best.number}`)) : "-";
  const others = Object.entries(counts).filter(([state]) => state !== "completed");
  const began = study.started_at ? Date.parse(study.started_at) : null;
  const until = study.ended_at ? Date.parse(study.ended_at) : Date.now();
  part("facts").replaceChildren(
    fact("Progress", progress(study)),
    fact(el("span", {}, "Best ", named(metric.name)), value),
    ...others.map(([state, n]) => fact(state, n)),
    fact("Suggester", definition.suggester.name),
    fact("Objective", definition.objective ? named(definition.objective.name) : "ask/tell"),
    fact("Took", began ? shownDuration((until - began) / 1000) : "-"),
    ...(study.stop_reason ? [fact("Ended by", study.stop_reason.replaceAll("_", " "))] : []),
  );
}

function duration(trial) {
  if (!trial.started_at) return "-";
  const until = trial.ended_at ? Date.parse(trial.ended_at) : Date.now();
  return trial.ended_at || trial.state === "running" ? shownDuration((until - Date.parse(trial.started_at)) / 1000) : "-";
}

function outcome(trial, metric) {
  if (trial.failure && trial.state === "failed") return el("span", { title: trial.failure.message }, trial.failure.kind.replaceAll("_", " "));
  return shownNumber(trial.values[metric.name]);
}

function showTrials(metric) {
  const names = study.definition.space.map((parameter) => parameter.name);
  const heads = ["#", "State", named(metric.name), ...names.map(named), "Source", "Took"];
  part("trials").tHead.replaceChildren(el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head))));
  const newest = [...trials.values()].sort((a, b) => b.number - a.number).slice(0, MOST_ROWS);
  part("trials").tBodies[0].replaceChildren(...newest.map((trial) => trialRow(trial, metric, names)));
  part("trials-note").textContent = trials.size > MOST_ROWS ? `The newest ${MOST_ROWS} of ${trials.size} are shown.` : trials.size ? "" : "No trial yet.";
}

// On a narrow screen a row shows number, state and value, and opens to show the rest.
function opener(trial, text) {
  const button = el("button", { type: "button", class: "opener", "aria-expanded": opened.has(trial.number) }, text);
  button.addEventListener("click", () => {
    const isOpen = !opened.delete(trial.number);
    if (isOpen) opened.add(trial.number);
    button.setAttribute("aria-expanded", String(isOpen));
    button.closest("tr").classList.toggle("is-open", isOpen);
  });
  return button;
}

function sourceWords(trial) {
  const of = trial.source === "duplicate" ? trial.provenance.duplicate_of : null;
  return of ? `equal to #${of.number}, not trained` : trial.source;
}

function trialRow(trial, metric, names) {
  const isBest = study.best && study.best.number === trial.number;
  const cell = (label, content) => el("td", { "data-label": label }, content);
  return el(
    "tr",
    { class: `${isBest ? "is-best" : ""} ${opened.has(trial.number) ? "is-open" : ""}` },
    el("th", { scope: "row", class: "lead" }, opener(trial, `#${trial.number}${isBest ? " best" : ""}`)),
    el("td", { class: "lead" }, stateBadge(trial.state)),
    el("td", { class: "lead" }, outcome(trial, metric)),
    ...names.map((name) => cell(name, name in trial.params ? named(shownNumber(trial.params[name])) : el("span", { class: "small" }, "-"))),
    cell("Source", sourceWords(trial)),
    cell("Took", duration(trial)),
  );
}

function showPlot(metric) {
  const ordered = [...trials.values()].sort((a, b) => a.number - b.number);
  const { clipped, shown } = draw(part("plot"), ordered, metric.name, metric.direction === "minimize");
  const notes = [];
  if (!shown) notes.push("The first completed trial starts the plot.");
  else notes.push(`${metric.name}, ${metric.direction === "minimize" ? "lower" : "higher"} is better; ${shown} completed trials by number.`);
  if (clipped) notes.push(`${clipped} lie outside the picture and stand at its edge.`);
  part("plot-note").textContent = notes.join(" ");
}

function show() {
  const [metric] = study.definition.metrics;
  document.title = `${study.name} - Tunewell`;
  part("name").replaceChildren(named(study.name));
  part("crumb").replaceChildren(named(study.name));
  part("state").replaceChildren(stateBadge(study.state));
  part("description").textContent = study.description;
  const warnings = study.pause_detail ? [`Paused itself: ${study.pause_detail}`, ...study.warnings] : study.warnings;
  part("warnings").hidden = !warnings.length;
  part("warnings").replaceChildren(...warnings.map((text) => el("li", {}, text)));
  showFacts(metric);
  showPlot(metric);
  showTrials(metric);
  allIsWell();
}

// Reads the news at most twice a second, however fast events come.
let isReading = false;
let isStale = false;

async function refresh() {
  isStale = true;
  if (isReading) return;
  isReading = true;
  try {
    while (isStale) {
      isStale = false;
      await readNews();
      await pause(500);
    }
  } finally {
    isReading = false;
  }
}

async function follow() {
  await readAll();
  let after = study.change_seq;
  for (;;) {
    live("live", true);
    let failure = null;
    for await (const { event, id: seen } of events(`${base}/events`, after)) {
      if (failure) throw failure;
      if (event === "reset") await readAll();
      else if (event !== "tick" && event !== "trial.measurement") refresh().catch((error) => (failure = error));
      after = seen === null ? after : seen;
    }
    live("connecting", false);
    await pause(1000);
  }
}

new ResizeObserver(() => study && showPlot(study.definition.metrics[0])).observe(part("plot").parentElement);

for (;;) {
  try {
    await follow();
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) part("name").textContent = "No such study";
    await explain(error);
  }
}
