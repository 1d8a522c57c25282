// Where a trial's point came from, in words. What no sentence says stands in the details below it.

import { duration, number, plural, words } from "../../lib/format.js";

const NAMES = { gp: "GP", tpe: "TPE", cmaes: "CMA-ES", skopt: "scikit-optimize", auto: "auto", bohb: "BOHB" };

const nameOf = (suggester) => NAMES[suggester] || words(suggester || "the suggester");

const onTrials = (n) => (typeof n === "number" ? ` on ${plural(n, "trial")}` : "");

const sentence = (parts) => `${parts.filter(Boolean).join("; ")}.`;

// What the service writes beside every point that it made.
function common(made) {
  const found = [];
  if (made.seed !== undefined && made.seed !== null) found.push(`seed ${made.seed}`);
  if (made.n_pending) found.push(`${made.n_pending} still running then`);
  if (made.seconds >= 0.01) found.push(`waited ${duration(made.seconds)}`);
  return found;
}

// A standardised prediction is not in the metric's units: it counts standard deviations of the results, less is better.
function predicted(made) {
  if (typeof made.predicted === "number") return `predicted ${number(made.predicted)}${typeof made.predicted_sd === "number" ? ` ± ${number(made.predicted_sd, 2)}` : ""}`;
  if (typeof made.mean !== "number") return "";
  const side = made.mean <= 0 ? "better" : "worse";
  const spread = typeof made.sd === "number" ? ` ± ${number(made.sd, 2)}` : "";
  return `predicted ${number(Math.abs(made.mean), 2)}${spread} standard deviations ${side} than the mean of the results`;
}

const MODELS = {
  gp: (made) => [
    `GP${onTrials(made.n ?? made.n_finished)}`,
    predicted(made),
    typeof made.expected_gain === "number" ? `expected gain ${number(made.expected_gain, 2)}` : "",
    made.region === "local" ? "searched near the best" : "",
  ],
  tpe: (made) => [`TPE${onTrials(made.n_finished)}: ${made.reason || "the candidate whose density is highest among the good trials"}`, made.n_below ? `${made.n_below} good, ${made.n_above} other trials` : ""],
  "CMA-ES": (made) => [`CMA-ES, run ${made.run}, generation ${made.generation} of ${made.population} points`, typeof made.largest_sd === "number" ? `largest spread ${number(made.largest_sd, 2)} of the range` : ""],
};

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const bred = (made) => {
  const parents = made.parents?.length ? ` from ${plural(made.parents.length, "parent")} (trial ${made.parents.join(" and ")})` : "";
  const changed = made.mutated?.length ? `changed ${made.mutated.join(", ")}` : "";
  return [`${capital(words(made.method || "evolution"))}${parents}, population of ${made.population}`, made.is_crossed ? "parents crossed" : "", changed];
};

function model(made) {
  if (made.method && made.population !== undefined) return bred(made);
  if (made.acq_func) return [`scikit-optimize (${made.base_estimator}, ${made.acq_func})${onTrials(made.n_told ?? made.n_finished)}`];
  const known = MODELS[made.model] || (String(made.model || "").includes("CMA-ES") ? MODELS["CMA-ES"] : null);
  return known ? known(made) : null;
}

const PLAIN = {
  random: (made) => [`Drawn at random, point ${made.index}`],
  sobol: (made) => [`Point ${made.index} of a Sobol sequence, which fills the space evenly`],
  grid: (made) => [`Point ${made.grid_index ?? made.index} of a grid of ${made.grid_size ?? "all values"}${made.order ? `, ${made.order}` : ""}`],
};

function chosen(made) {
  if (made.suggester !== "auto" || !made.chosen) return "";
  return `auto chose ${nameOf(made.chosen)}${made.why ? `: ${made.why}` : ""}`;
}

function suggested(made) {
  if (made.fallback && !made.fallback_suggester) return sentence([`A design point in place of one by ${nameOf(made.suggester)}: ${made.fallback}`, chosen(made), ...common(made)]);
  const told = model(made) || (PLAIN[made.chosen || made.suggester] || (() => [made.suggester ? `Suggested by ${nameOf(made.suggester)}${onTrials(made.n_finished)}` : "Suggested; nothing more was written down"]))(made);
  return sentence([told.filter(Boolean).join(", "), chosen(made), ...common(made)]);
}

const SOURCES = {
  suggester: suggested,
  initial: (made) => sentence([`Point ${made.index ?? ""} of the initial design of ${nameOf(made.suggester)}, which covers the space before a model can learn`.replace("Point  of", "A point of"), chosen(made), ...common(made)]),
  fallback: (made) => sentence([`A quasi-random point in place of one by ${nameOf(made.suggester)}: ${made.fallback || "its model was not ready"}`, ...common(made)]),
  user: (made) => {
    const completed = made.suggester ? `; what was left open came from ${nameOf(made.suggester)}` : "";
    return `Enqueued by a person or a script${completed}.`;
  },
  promotion: (made) => `Went on to a higher rung of the early-stopping rule. ${suggested(made)}`,
  replicate: (made) => `A repetition on purpose${made.replicate_of ? ` of trial ${made.replicate_of}` : ""}, to learn how much the metric varies. ${made.suggester ? sentence(common(made)) : ""}`.trim(),
  import: () => "Imported with its result: this service did not choose the point and did not run it.",
};

// One sentence or two. trial: as the service tells it.
export function why(trial) {
  const made = trial.provenance || {};
  const of = made.duplicate_of;
  const source = of?.source || trial.source;
  const text = (SOURCES[source] || suggested)(made);
  return of ? `${text} Its point is the same work as trial ${of.number}, so it got that trial's result and was not run.` : text;
}

// What the sentence leaves out, as terms and texts.
export function details(trial) {
  const { versions = {}, pending_ids: pending = [], ...rest } = trial.provenance || {};
  const rows = [["source", words(trial.source)]];
  for (const [name, value] of Object.entries(rest)) rows.push([words(name), shortly(value)]);
  if (pending.length) rows.push(["pending then", plural(pending.length, "trial")]);
  for (const [name, value] of Object.entries(versions)) rows.push([`version of ${name}`, String(value)]);
  return rows;
}

function shortly(value) {
  if (typeof value === "number") return number(value, 6);
  if (Array.isArray(value)) return value.map(shortly).join(", ") || "none";
  if (value !== null && typeof value === "object") return Object.entries(value).map(([name, each]) => `${name} ${shortly(each)}`).join(", ");
  return value === null ? "-" : String(value);
}
