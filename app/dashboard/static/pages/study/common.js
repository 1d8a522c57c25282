// What several parts of a study's page need.

import { el, fill } from "../../lib/dom.js";
import { read } from "../../lib/view.js";

const ENDED = ["completed", "stopped", "infeasible", "failed"];

export const isEnded = (state) => ENDED.includes(state);

export const objectives = (definition) => {
  const found = definition.metrics.filter((metric) => metric.role === "objective");
  return found.length ? found : definition.metrics.slice(0, 1);
};

// Names of the metrics that the plots can be about: the declared ones, and what else the best trial has a value of.
export const metricNames = ({ definition, best }) => [...new Set([objectives(definition)[0].name, ...definition.metrics.map(({ name }) => name), ...Object.keys(best?.values || {})])];

// The metric that the plots are about, from the address, else the first objective. One that the study does not declare
// has no direction: nobody knows which end of it is the better one.
export function metricOf(context) {
  const { definition } = context.study();
  const [first] = objectives(definition);
  const name = read("metric") || first.name;
  const declared = definition.metrics.find((metric) => metric.name === name);
  return { direction: null, ...declared, name, isFirst: name === first.name };
}

// The title of a plot; where a study has several metrics it names the one that the plot is about.
export function titled(context, title) {
  const { name, isFirst } = metricOf(context);
  return !isFirst || context.study().definition.metrics.length > 1 ? `${title}: ${name.slice(0, 60)}` : title;
}

// "41 of 50 shown", and by which rule where some are left out.
const RULES = {
  cells: "one of each place in the plot, every improvement, all running",
  strata: "the best, and others spread over the ranks of the rest",
  last: "the latest",
  largest: "the largest",
};

const REASONS = { nan: "NaN or infinite" };

// unit: what is counted, with a blank before it; out: how to call those that are left out.
export function captionOf({ n_shown: shown, n_used: used, sampling, excluded = {} }, unit = "", out = "left out") {
  const rule = sampling === "all" ? "" : `, by rule "${sampling}": ${RULES[sampling] || sampling}`;
  const others = Object.entries(excluded).map(([reason, n]) => `${n} ${REASONS[reason] || reason.replaceAll("_", " ")}`);
  return `${shown} of ${used}${unit} shown${rule}${others.length ? `; ${out}: ${others.join(", ")}` : ""}`;
}

// Numbers of the trials that the reader has picked one by one: `at=33,41`.
export const pickedTrials = () => new Set((read("at") || "").split(",").map(Number).filter((trial) => Number.isInteger(trial) && trial > 0));

// What the marks of a plot mean, below it: [name of the mark in the style sheet, word]; none, no key.
export class Key {
  constructor(panel) {
    this.element = el("p", { class: "small key" });
    panel.caption.before(this.element);
  }

  show(marks) {
    this.element.hidden = marks.length < 2;
    fill(this.element, ...marks.map(([mark, word]) => el("span", { class: `mark mark-${mark}` }, word)));
  }
}
