// The parts of a trial's page that are words and tables: result, parameters, why this point, attempts, failure.

import { el, fill, named, part, shown, stateBadge, timeAgo } from "../../lib/dom.js";
import { condition, duration, number, plural, words } from "../../lib/format.js";
import { details, why } from "./why.js";

const trialPath = (id) => `/trials/${encodeURIComponent(id)}`;

const took = (trial) => {
  if (!trial.started_at) return null;
  const end = trial.ended_at ? Date.parse(trial.ended_at) : Date.now();
  return Math.max(0, (end - Date.parse(trial.started_at)) / 1000);
};

const fact = (term, ...text) => el("div", {}, el("dt", {}, term), el("dd", {}, ...text));

// Final values, or the last reported ones of a trial that has none yet.
function values(trial, study) {
  const final = Object.entries(trial.values);
  const reported = Object.entries(trial.measurements?.last_values || {});
  const found = final.length ? final : reported;
  const order = study.definition.metrics.map(({ name }) => name);
  found.sort(([a], [b]) => (order.indexOf(a) + 1 || 99) - (order.indexOf(b) + 1 || 99));
  const word = final.length ? "" : `, reported at step ${trial.measurements?.last_step}`;
  return found.map(([name, value]) => fact(el("span", {}, named(name), word), shown(value)));
}

function rank(trial, study) {
  const n = study.trial_counts.completed || 0;
  if (!study.best) return study.definition.metrics.filter(({ role }) => role === "objective").length > 1 ? fact("best", el("a", { href: `/studies/${encodeURIComponent(study.id)}?tab=pareto` }, "see the Pareto front")) : null;
  if (study.best.id === trial.id) return fact("rank", `best of ${n}`);
  const [{ name }] = study.definition.metrics;
  return fact("best so far", shown(study.best.values[name]), el("span", { class: "soft" }, ` by\u00a0trial\u00a0${study.best.number}`));
}

export function showResult(trial, study) {
  const seconds = took(trial);
  fill(part("facts"),
    ...(values(trial, study).length ? values(trial, study) : [fact("value", "-")]),
    rank(trial, study),
    fact(trial.ended_at ? "took" : "runs for", duration(seconds)),
    fact(trial.ended_at ? "ended" : trial.started_at ? "started" : "created", timeAgo(trial.ended_at || trial.started_at || trial.created_at)),
    trial.step === null ? null : fact("step", String(trial.step), trial.to_step ? ` of ${trial.to_step}` : ""),
    trial.bracket === null ? null : fact("bracket", String(trial.bracket)),
    fact("source", words(trial.source)),
    trial.directive_reason ? el("div", { class: "in-words" }, el("dt", {}, "early stopping"), el("dd", {}, trial.directive_reason)) : null);
}

export function showFailure({ failure, state }) {
  const box = part("failure");
  box.hidden = !failure;
  if (!failure) return;
  const title = state === "failed" ? "Why it failed" : "The last failed attempt";
  fill(box, el("h2", { id: "failure-title" }, title), el("p", {}, el("strong", {}, words(failure.kind)), " ", failure.message || "without a message"),
    failure.traceback ? el("details", { open: true }, el("summary", {}, "Traceback"), el("pre", { class: "trace", tabindex: 0, role: "region", "aria-label": "Traceback" }, failure.traceback)) : null);
}

export function showHead(trial, study) {
  const title = `Trial ${trial.number} of ${study.name} - Tunewell`;
  if (document.title !== title) document.title = title;
  fill(part("name"), `Trial ${trial.number}`);
  fill(part("state"), stateBadge(trial.state));
  fill(part("study"), named(study.name));
  part("study").href = `/studies/${encodeURIComponent(study.id)}`;
}

// near: {before, after}, each a trial or null.
export function showNeighbours(trial, study, { before, after }) {
  const step = (found, label, key) => (found ? el("a", { class: "button", href: trialPath(found.id), "aria-keyshortcuts": key, title: `Key ${key}` }, label(found.number)) : null);
  const isBest = !study.best || study.best.id === trial.id;
  fill(part("neighbours"), step(before, (n) => `‹ ${n}`, "["), step(after, (n) => `${n} ›`, "]"), isBest ? null : el("a", { class: "button", href: trialPath(study.best.id) }, `best ${study.best.number}`));
}

function valueOf(parameter, trial) {
  if (!(parameter.name in trial.params)) return el("span", { class: "soft" }, parameter.when ? `not active: needs ${condition(parameter.when)}` : "-");
  const value = trial.params[parameter.name];
  return typeof value === "number" ? el("span", { title: String(value) }, number(value, 6)) : named(String(value));
}

function rangeOf(parameter) {
  if (parameter.type === "categorical") return plural(parameter.choices.length, "choice");
  return `${number(parameter.low)} to ${number(parameter.high)}${parameter.log ? ", log" : ""}`;
}

export function parametersPanel() {
  const rows = el("tbody");
  const head = el("tr", {}, el("th", { scope: "col" }, "Parameter"), el("th", { scope: "col", class: "num" }, "Value"), el("th", { scope: "col", class: "range" }, "Range"));
  const table = el("div", { class: "scroll parameters" }, el("table", {}, el("thead", {}, head), rows));
  table.tabIndex = 0;
  table.setAttribute("role", "region");
  table.setAttribute("aria-label", "Parameters");
  const element = el("section", { class: "panel", id: "parameters", "aria-labelledby": "parameters-title" }, el("div", { class: "panel-head" }, el("h2", { id: "parameters-title" }, "Parameters")), table);
  const show = (trial, study) =>
    fill(rows, ...study.definition.space.map((parameter) => el("tr", {}, el("th", { scope: "row" }, named(parameter.name)), el("td", { class: "num value" }, valueOf(parameter, trial)), el("td", { class: "soft range" }, rangeOf(parameter)))));
  return { element, show };
}

export function whyPanel() {
  const text = el("p", { class: "why" });
  const rows = el("dl", { class: "details" });
  const link = el("a", {}, "The suggester's view at this point");
  const more = el("details", {}, el("summary", {}, "All that is written down of it"), rows);
  const element = el("section", { class: "panel", id: "why", "aria-labelledby": "why-title" }, el("div", { class: "panel-head" }, el("h2", { id: "why-title" }, "Why this point")), text, el("p", {}, link), more);
  const show = (trial, study) => {
    fill(text, why(trial));
    link.href = `/studies/${encodeURIComponent(study.id)}?tab=suggester&at=${trial.number}`;
    fill(rows, ...details(trial).flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
  };
  return { element, show };
}

const ENDS = {
  completed: "completed", failed: "failed", expired: "lost (its lease ended without a beat)", released: "given back", cancelled: "cancelled", paused: "paused at a rung", aborted: "aborted", stopped: "stopped early",
};

function outcome(attempt) {
  const start = attempt.from_step ? `resumed from step ${attempt.from_step}, ` : "";
  const after = attempt.last_step === null ? "" : ` after step ${attempt.last_step}`;
  if (!attempt.ended_at) return `${start}runs${attempt.last_step === null ? "" : `, step ${attempt.last_step}`}`;
  const failure = attempt.failure ? ` (${words(attempt.failure.kind)})` : "";
  return `${start}${ENDS[attempt.end] || words(attempt.end)}${failure}${after}`;
}

function where(attempt, names) {
  if (attempt.worker_id) return el("a", { href: "/workers" }, named(names.get(attempt.worker_id) || attempt.worker_id), attempt.slot === null ? "" : `/${attempt.slot}`);
  return attempt.client_id ? el("span", {}, "client ", named(attempt.client_id)) : el("span", { class: "soft" }, "a client without a name");
}

export function attemptsPanel() {
  const rows = el("tbody");
  const heads = ["Attempt", "Where", "Outcome", "Began", "Took"];
  const table = el("table", { class: "cards", hidden: true }, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), rows);
  const none = el("p", { class: "soft" });
  const element = el("section", { class: "panel wide", id: "attempts", "aria-labelledby": "attempts-title" }, el("div", { class: "panel-head" }, el("h2", { id: "attempts-title" }, "Attempts")), table, none);
  const show = (trial, names) => {
    const { attempts } = trial;
    table.hidden = !attempts.length;
    none.hidden = attempts.length > 0;
    fill(none, trial.source === "import" ? "Imported: it ran elsewhere." : trial.source === "duplicate" ? "It was not run: an equal point had its result already." : "It was not handed out yet. A worker or a client that asks gets it.");
    fill(rows, ...attempts.map((attempt, k) => {
      const end = attempt.ended_at ? Date.parse(attempt.ended_at) : Date.now();
      const cells = [where(attempt, names), outcome(attempt), timeAgo(attempt.acquired_at), duration((end - Date.parse(attempt.acquired_at)) / 1000)];
      const { failure } = attempt;
      const trace = failure ? el("details", { class: "attempt-failure" }, el("summary", {}, failure.message ? failure.message.slice(0, 120) : "Traceback"), el("pre", { class: "trace", tabindex: 0 }, failure.traceback || failure.message || "without a message")) : null;
      return el("tr", {}, el("th", { scope: "row" }, String(k + 1)), ...cells.map((cell, at) => el("td", { "data-label": heads[at + 1] }, el("span", { class: "cell" }, cell, at === 1 ? trace : null))));
    }));
  };
  return { element, show };
}
