// What the study is: its definition in words and as JSON, its limits, the versions it ran with, its warnings.

import { get } from "../../lib/api.js";
import { copy, el, fill, named, timeAgo } from "../../lib/dom.js";
import { duration, gibibytes, number, plural, words } from "../../lib/format.js";
import { said } from "../../lib/session.js";
import { curlOf, python, pythonOf } from "../../lib/snippets.js";

const pair = (term, ...value) => [el("dt", {}, term), el("dd", {}, ...value)];

const list = (rows) => el("dl", { class: "details" }, ...rows.flat());

const optionsText = (options) => Object.entries(options || {}).filter(([, value]) => value !== null).map(([name, value]) => `${words(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");

const withOptions = ({ name, options }) => [named(name), optionsText(options) ? ` (${optionsText(options)})` : ""];

const LIMITS = {
  max_trials: (n) => plural(n, "trial"), max_parallel: (n) => `${n} at the same time`, max_duration_s: (s) => `${duration(s)} since the start`, max_trial_duration_s: (s) => `${duration(s)} for one attempt`,
  target: (value) => `ends at ${number(value)}`, max_resource_total: (n) => `${n} steps together`, min_gain_per_h: (value) => `ends below a gain of ${number(value)} an hour`,
  no_progress: ({ trials, seconds, min_gain: gain }) => `ends after ${[trials ? plural(trials, "trial") : "", seconds ? duration(seconds) : ""].filter(Boolean).join(" or ")} without a gain${gain ? ` of ${number(gain)}` : ""}`,
};

const limits = (found) => Object.entries(LIMITS).filter(([name]) => found[name] !== null && found[name] !== undefined).map(([name, text]) => pair(words(name).replace(/ s$/, ""), text(found[name])));

function condition({ when }) {
  if (!when) return "always";
  const values = when.in ? when.in.map(String).join(" or ") : `${when.low ?? "any"} to ${when.high ?? "any"}`;
  return el("span", {}, named(when.param), " = ", named(values));
}

const rangeOf = (parameter) =>
  parameter.type === "categorical" ? named(`${parameter.choices.map(String).join(", ")}${parameter.ordered ? " (in this order)" : ""}`) : `${number(parameter.low)} to ${number(parameter.high)}${parameter.log ? ", log" : ""}${parameter.step && !(parameter.type === "int" && parameter.step === 1) ? `, step ${number(parameter.step)}` : ""}`;

function space(parameters) {
  const heads = ["Parameter", "Type", "Range or choices", "Active"];
  const rows = parameters.map((parameter) => {
    const cells = [parameter.type, rangeOf(parameter), condition(parameter)];
    return el("tr", {}, el("th", { scope: "row" }, named(parameter.name)), ...cells.map((cell, k) => el("td", { "data-label": heads[k + 1] }, cell)));
  });
  return el("table", { class: "cards" }, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...rows));
}

function resources({ gpu, gpu_memory_bytes: memory, cpu }) {
  return [gpu ? `${number(gpu)} of a GPU` : "", memory ? `${gibibytes(memory)} of its memory` : "", cpu ? plural(cpu, "processor core") : ""].filter(Boolean).join(", ") || "none asked for";
}

function inWords(study) {
  const { definition } = study;
  const rows = [
    ...definition.metrics.map((metric) => pair(metric.role === "constraint" ? "constraint" : `${metric.direction}s`, named(metric.name), metric.threshold !== null && metric.threshold !== undefined ? `, threshold ${number(metric.threshold)}` : "")),
    pair("objective", ...(definition.objective ? withOptions(definition.objective) : ["evaluated by clients themselves (ask and tell)"])),
    pair("suggester", ...withOptions(definition.suggester), definition.suggester.seed === null ? "" : `, seed ${definition.suggester.seed}`),
    pair("early stopping", ...withOptions(definition.early_stopping)),
    ...definition.constraints.map((each) => pair("points keep", `${Object.entries(each.terms).map(([name, factor]) => `${factor} · ${name}`).join(" + ")} ${each.op} ${each.bound}`)),
    pair("resources of a trial", resources(study.definition.resources)),
    pair("failures", `${plural(definition.failure_policy.max_attempts, "attempt")} a trial, ${plural(definition.failure_policy.max_losses, "loss", "losses")} of a lease${definition.failure_policy.max_failed ? `, the study fails after ${plural(definition.failure_policy.max_failed, "failed trial")}` : ""}`),
    pair("priority", String(study.priority)),
    pair("labels", ...(Object.keys(study.labels).length ? Object.entries(study.labels).map(([key, value]) => named(`${key}=${value} `)) : ["none"])),
    ...(study.description ? [pair("description", named(study.description))] : []),
  ];
  return list(rows);
}

function provenance(study, versions) {
  const used = (term, value) => (value === null || value === undefined ? [] : [pair(term, value)]);
  return list([
    pair("id", el("code", {}, study.id)),
    pair("created", timeAgo(study.created_at)),
    ...used("first start", study.started_at && timeAgo(study.started_at)),
    ...used("ended", study.ended_at && timeAgo(study.ended_at)),
    ...used("ended because", study.stop_reason && words(study.stop_reason)),
    ...used("data digest", study.data_digest && el("code", {}, study.data_digest)),
    ...used("steps used", study.resource_used ? String(study.resource_used) : null),
    ...used("steps saved by early stopping", study.resource_saved ? String(study.resource_saved) : null),
    ...used("seed", study.definition.suggester.seed === null ? null : String(study.definition.suggester.seed)),
    pair("revision of the definition", String(study.revision)),
    ...Object.entries(versions).map(([name, value]) => pair(`version of ${name}`, String(value))),
  ]);
}

class Definition {
  constructor(context) {
    this.context = context;
    this.versions = {};
    this.warnings = el("ul", { class: "warnings", hidden: true });
    this.words = el("div");
    this.limits = el("div");
    this.space = el("div");
    this.provenance = el("div");
    this.note = el("p", { class: "small caption" });
    this.json = el("pre", { class: "json", tabindex: 0, role: "region", "aria-label": "Definition as JSON" });
    const panel = (id, title, tools, className, ...content) => el("section", { class: `panel ${className}`, "aria-labelledby": id }, el("div", { class: "panel-head" }, el("h2", { id }, title), el("div", { class: "tools" }, ...tools)), ...content);
    const button = (label, run) => el("button", { type: "button", onclick: run }, label);
    const clone = context.mayWrite ? el("a", { class: "button", href: `/new?from=${encodeURIComponent(context.id)}` }, "Clone study") : null;
    const body = () => this.body();
    this.element = el("div", {}, this.warnings, el("div", { class: "grid" },
      panel("words-title", "Definition", [clone].filter(Boolean), "", this.words, el("h3", {}, "Limits"), this.limits),
      panel("provenance-title", "Provenance", [], "", this.provenance, this.note),
      panel("space-title", "Space", [], "wide", this.space),
      panel("json-title", "As JSON", [button("Copy JSON", () => copy(JSON.stringify(body(), null, 2), "the definition")), button("Copy curl", () => copy(curlOf("/v1/studies", { body: body() }), "the curl command")), button("Copy Python", () => copy(pythonOf(`study = client.create_study(${python(body())})`), "the Python script"))], "wide",
        el("p", { class: "small" }, "The copied calls make a study of this definition under a new name."), this.json)));
  }

  // The definition as a new study would be made of it: names are given once.
  body() {
    return { ...this.context.study().definition, name: `${this.context.study().name.slice(0, 180)} (copy)` };
  }

  async show() {
    this.draw();
    try {
      const { version, libraries } = await get("/v1/meta");
      this.versions = { tunewell: version, ...libraries };
      this.note.textContent = "Versions are those of the service now; a trial's page has those that its point was made with.";
      this.draw();
    } catch (error) {
      this.note.textContent = `The versions could not be read: ${said(error)}`;
    }
  }

  draw() {
    const study = this.context.study();
    this.warnings.hidden = !study.warnings.length;
    fill(this.warnings, ...study.warnings.map((text) => el("li", {}, typeof text === "string" ? text : text.detail || JSON.stringify(text))));
    fill(this.words, inWords(study));
    const found = limits(study.definition.limits);
    fill(this.limits, found.length ? list(found) : el("p", { class: "soft" }, "None: the study goes on until it is stopped. \"Edit limits\" above sets one."));
    fill(this.space, space(study.definition.space));
    fill(this.provenance, provenance(study, this.versions));
    fill(this.json, JSON.stringify(study.definition, null, 2));
  }

  update(events) {
    if (events.some((event) => event.kind === "reset" || event.kind === "study.state")) setTimeout(() => this.draw(), 1_500);
  }

  leave() {}
}

export const tab = (context) => new Definition(context);
