// What several parts of a study's page need.

export const ENDED = ["completed", "stopped", "infeasible", "failed"];

export const isEnded = (state) => ENDED.includes(state);

export const objectives = (definition) => {
  const found = definition.metrics.filter((metric) => metric.role === "objective");
  return found.length ? found : definition.metrics.slice(0, 1);
};

// "41 of 50 shown", and by which rule where some are left out.
const RULES = {
  cells: "one of each place in the plot, every improvement, all running",
  strata: "the best, and others spread over the ranks of the rest",
  last: "the latest",
  largest: "the largest",
};

export function captionOf({ n_shown: shown, n_used: used, sampling, excluded = {} }, unit = "") {
  const rule = sampling === "all" ? "" : `, by rule "${sampling}": ${RULES[sampling] || sampling}`;
  const out = Object.entries(excluded).map(([reason, n]) => `${n} ${reason.replaceAll("_", " ")}`);
  return `${shown} of ${used}${unit} shown${rule}${out.length ? `; left out: ${out.join(", ")}` : ""}`;
}
