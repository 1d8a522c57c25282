// Columns of the table of trials: what each shows, what the service can sort by, and which of them the reader has
// chosen; the choice is kept for each study.

import { el, named, shown, timeAgo } from "../../lib/dom.js";
import { column, duration, number, words } from "../../lib/format.js";
import { change, read } from "../../lib/view.js";
import { objectives } from "./common.js";

const KEEP = "tunewell:columns:";
const MOST_PARAMS = 8;

const took = (trial) => (trial.started_at && trial.ended_at ? (Date.parse(trial.ended_at) - Date.parse(trial.started_at)) / 1000 : null);

function plainColumns() {
  return [
    { id: "source", title: "Source", cell: (trial) => words(trial.source) },
    { id: "ended", title: "Ended", cell: (trial) => timeAgo(trial.ended_at) },
    { id: "took", title: "Took", isNumber: true, cell: (trial) => duration(took(trial)) },
    { id: "created", title: "Created", sort: "created_at", cell: (trial) => timeAgo(trial.created_at) },
    { id: "step", title: "Step", isNumber: true, cell: (trial) => number(trial.step) },
    { id: "bracket", title: "Bracket", isNumber: true, cell: (trial) => number(trial.bracket) },
    { id: "attempts", title: "Attempts failed", isNumber: true, cell: (trial) => number(trial.n_attempts) },
    { id: "worker", title: "Worker", cell: (trial) => (trial.worker_id ? el("code", {}, trial.worker_id) : "-") },
    { id: "failure", title: "Failure", cell: (trial) => (trial.failure ? named(`${words(trial.failure.kind)}: ${trial.failure.message.slice(0, 120)}`) : "-") },
    { id: "note", title: "Note", cell: (trial) => (trial.note ? named(trial.note.slice(0, 120)) : "-") },
  ];
}

// All that a study's table can show, in order.
export function allColumns({ definition }) {
  const [first] = objectives(definition);
  const metrics = definition.metrics.map(({ name }) => ({
    id: `metric:${name}`, title: name, isNumber: true, isOwn: true, metric: name, sort: name === first.name ? "value" : null, cell: (trial) => shown(trial.values[name] ?? null),
  }));
  const params = definition.space.map(({ name, type }) => ({
    id: `param:${name}`, title: name, isNumber: type !== "categorical", isOwn: true, sort: `param:${name}`, cell: (trial) => (name in trial.params ? value(trial.params[name]) : el("span", { class: "soft", title: "not active" }, "-")),
  }));
  return [...metrics, ...params, ...plainColumns()];
}

const value = (given) => (typeof given === "number" ? shown(given) : named(given));

function byDefault(all) {
  const params = all.filter(({ id }) => id.startsWith("param:")).slice(0, MOST_PARAMS);
  const metrics = all.filter(({ metric }) => metric).slice(0, 3);
  return [...metrics, ...params, ...all.filter(({ id }) => ["source", "ended", "took"].includes(id))];
}

const kept = (studyId) => {
  try {
    return JSON.parse(localStorage.getItem(KEEP + studyId));
  } catch {
    return null;
  }
};

// The columns to show: those in the address, else those chosen before, else the usual ones.
export function chosenColumns(study) {
  const all = allColumns(study);
  const asked = read("cols")?.split(",").map(unescaped) || kept(study.id);
  const found = Array.isArray(asked) ? all.filter(({ id }) => asked.includes(id)) : [];
  return found.length ? found : byDefault(all);
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function choose(study, ids) {
  localStorage.setItem(KEEP + study.id, JSON.stringify(ids));
  change({ cols: ids.map((id) => id.replaceAll("%", "%25").replaceAll(",", "%2C")).join(",") });
}

export function reset(study) {
  localStorage.removeItem(KEEP + study.id);
  change({ cols: null });
}

// Metric columns keep one number of decimals within a page.
export function evenly(columns, trials) {
  return columns.map((each) => {
    if (!each.metric) return each;
    const format = column(trials.map((trial) => trial.values[each.metric]));
    return { ...each, cell: (trial) => el("span", { title: String(trial.values[each.metric] ?? "no value") }, format(trial.values[each.metric] ?? null)) };
  });
}
