// The form of a study definition. It is built from the definition, and again where a choice changes what can be
// filled in (a type, a suggester); what it does not know stays in the definition as it is.

import { el, fill } from "../../lib/dom.js";
import { words } from "../../lib/format.js";
import { Fields } from "./fields.js";
import { at, escaped, put } from "./pointers.js";

const KNOWN = ["name", "description", "objective", "metrics", "space", "suggester", "early_stopping", "limits", "labels", "priority"];
const TYPES = [["float", "real"], ["int", "whole"], ["categorical", "choices"]];
const DIRECTIONS = [["minimize", "minimise"], ["maximize", "maximise"]];

export class Form {
  // told(pointer): the definition has changed there; "" for a change of its shape.
  constructor(box, definition, catalog, told) {
    Object.assign(this, { box, definition, catalog, told });
    this.build();
  }

  build() {
    this.fields = new Fields(this.definition, this.told);
    fill(this.box, "");
    this.box.replaceChildren(this.basics(), this.objective(), this.metrics(), this.space(), this.suggester(), this.stopping(), this.limits(), ...this.rest());
  }

  // After a change of shape; the focus goes to the control of the same place, or of another one if that is gone.
  rebuild(focus) {
    this.build();
    this.fields.controls.get(focus)?.control.focus();
    this.told("");
  }

  basics() {
    return section("Study", "",
      el("div", { class: "line" }, this.fields.text("/name", "Name", { attributes: { maxlength: 200, required: true } }), this.fields.text("/description", "Description", { hint: "for people" })),
      el("div", { class: "line" }, this.labels(), this.fields.number("/priority", "Priority", { hint: "0", help: "Studies of higher priority are served first." })));
  }

  labels() {
    const shown = Object.entries(this.definition.labels || {}).map(([key, value]) => `${key}=${value}`).join(", ");
    const input = el("input", { type: "text", placeholder: "team=vision, owner=ada", value: shown, id: "field-labels", spellcheck: "false", "aria-describedby": "field-labels-fault" });
    const fault = el("p", { class: "fault", id: "field-labels-fault", hidden: true });
    input.addEventListener("input", () => {
      const pairs = input.value.split(",").map((text) => text.trim()).filter(Boolean).map((text) => [text.split("=", 1)[0].trim(), text.includes("=") ? text.slice(text.indexOf("=") + 1).trim() : ""]);
      put(this.definition, "/labels", pairs.length ? Object.fromEntries(pairs) : undefined);
      this.told("/labels");
    });
    this.fields.controls.set("/labels", { control: input, fault });
    return el("div", { class: "field" }, el("label", { for: "field-labels" }, "Labels"), input, fault);
  }

  objective() {
    const offers = this.catalog.objectives.map((offer) => [offer.name, `${offer.name}${offer.is_offered ? "" : " (no worker offers it now)"}`]);
    const choose = (value) => {
      this.definition.objective = value ? { name: value } : null;
      if (!value) delete this.definition.objective;
      this.takeMetric(value);
      this.rebuild("/objective/name");
    };
    const name = at(this.definition, "/objective/name");
    const offer = this.catalog.objectives.find((each) => each.name === name);
    const options = [["", "my own program asks for trials"], ...offers];
    return section("Objective", offer?.steps ? `Metrics: ${Object.keys(offer.metrics).join(", ") || "any"}; ${offer.steps}.` : "What evaluates a point.",
      this.fields.choice("/objective/name", "Evaluated by", options, { onChange: choose, otherwise: "" }),
      name ? this.options("/objective/options", schemaOptions(offer?.options_schema)) : null);
  }

  // A metric that nobody has named yet is the objective's first.
  takeMetric(name) {
    const offer = this.catalog.objectives.find((each) => each.name === name);
    const first = Object.entries(offer?.metrics || {})[0];
    const metrics = this.definition.metrics;
    if (first && Array.isArray(metrics) && metrics.length === 1 && !metrics[0].name) [metrics[0].name, metrics[0].direction] = first;
  }

  // Fields of known options; a JSON field where nothing is known of them.
  options(pointer, known) {
    if (!known) return this.fields.json(pointer, "Options (JSON)", { hint: "{}" });
    const given = Object.keys(at(this.definition, pointer) || {}).filter((name) => !(name in known));
    const controls = [...Object.entries(known).map(([name, spec]) => this.option(`${pointer}/${escaped(name)}`, name, spec)), ...given.map((name) => this.fields.json(`${pointer}/${escaped(name)}`, name))];
    return controls.length ? el("div", { class: "options" }, ...controls) : null;
  }

  option(pointer, name, spec) {
    const label = labelOf(name);
    const hint = spec.default === null || spec.default === undefined ? "" : String(spec.default);
    const given = { hint, help: spec.help || "" };
    if (spec.type === "bool") return this.fields.choice(pointer, label, [["", hint ? `default (${hint === "true" ? "yes" : "no"})` : "default"], ["true", "yes"], ["false", "no"]], { ...given, read: (text) => text === "true" });
    if (spec.choices) return this.fields.choice(pointer, label, [["", hint ? `default (${hint})` : "default"], ...spec.choices.map((value) => [String(value), String(value)])], { ...given, read: spec.type === "str" ? (text) => text : Number });
    return spec.type === "str" ? this.fields.text(pointer, label, given) : this.fields.number(pointer, label, given);
  }

  metrics() {
    const rows = rowsOf(this.definition, "metrics").map((metric, k) => this.metric(metric, k));
    return this.rows("metrics", "Metrics", "What is measured. Several objectives make a Pareto front.", rows, "Add a metric", () => ({ name: "", direction: "minimize" }));
  }

  metric(metric, k) {
    const base = `/metrics/${k}`;
    const names = Object.keys(this.catalog.objectives.find((offer) => offer.name === at(this.definition, "/objective/name"))?.metrics || {});
    return el("div", { class: "line" },
      this.fields.text(`${base}/name`, "Name", { hint: names.join(" or ") }),
      this.fields.choice(`${base}/direction`, "Better is", DIRECTIONS),
      this.fields.choice(`${base}/role`, "Role", [["objective", "objective"], ["constraint", "constraint"]], { onChange: () => this.rebuild(`${base}/role`), otherwise: "objective" }),
      metric.role === "constraint" ? this.fields.number(`${base}/threshold`, "Threshold") : null);
  }

  space() {
    const rows = rowsOf(this.definition, "space").map((parameter, k) => this.parameter(parameter, k));
    return this.rows("space", "Parameters", "One row each. A condition looks at a parameter that stands above.", rows, "Add a parameter", () => ({ name: "", type: "float" }));
  }

  parameter(parameter, k) {
    const base = `/space/${k}`;
    const retype = (type) => {
      for (const name of type === "categorical" ? ["low", "high", "log", "step", "default"] : ["choices", "ordered", "default"]) delete parameter[name];
      this.rebuild(`${base}/type`);
    };
    const range = parameter.type === "categorical"
      ? [this.fields.list(`${base}/choices`, "Choices", { hint: "simple, batchnorm" }), this.fields.flag(`${base}/ordered`, "ordered")]
      : [this.fields.number(`${base}/low`, "Low"), this.fields.number(`${base}/high`, "High"), this.fields.number(`${base}/step`, "Step", { hint: parameter.type === "int" ? "1" : "none" }), this.fields.flag(`${base}/log`, "log", { help: "Equal steps in orders of magnitude." })];
    return el("div", {},
      el("div", { class: "line" }, this.fields.text(`${base}/name`, "Name"), this.fields.choice(`${base}/type`, "Type", TYPES, { onChange: retype, attributes: { class: "short" } }), ...range),
      this.condition(parameter, k));
  }

  condition(parameter, k) {
    const base = `/space/${k}/when`;
    const above = rowsOf(this.definition, "space").slice(0, k).filter((each) => each.name);
    if (!above.length && !parameter.when) return null;
    const choose = (value) => {
      if (value) parameter.when = { param: value };
      else delete parameter.when;
      this.rebuild(`${base}/param`);
    };
    const parent = above.find((each) => each.name === parameter.when?.param);
    const bounds = !parameter.when ? [] : parent?.type === "categorical" || "in" in parameter.when ? [this.fields.list(`${base}/in`, "is one of", { hint: (parent?.choices || []).join(", ") })] : [this.fields.number(`${base}/low`, "from"), this.fields.number(`${base}/high`, "to")];
    return el("div", { class: "line condition" }, this.fields.choice(`${base}/param`, "Only when", [["", "always"], ...above.map((each) => [each.name, each.name])], { onChange: choose, otherwise: "" }), ...bounds);
  }

  rows(field, title, help, rows, adding, made) {
    const list = rowsOf(this.definition, field);
    const what = field === "space" ? "parameter" : "metric";
    const framed = rows.map((row, k) => {
      const name = list[k].name || `${what} ${k + 1}`;
      const remove = () => (list.splice(k, 1), this.rebuild(`/${field}/${Math.max(0, k - 1)}/name`));
      const up = () => (list.splice(k - 1, 2, list[k], list[k - 1]), this.rebuild(`/${field}/${k - 1}/name`));
      return el("div", { class: "row", role: "group", "aria-label": name }, row, el("div", { class: "row-tools" },
        k > 0 ? el("button", { type: "button", class: "quiet", "aria-label": `Move ${name} up`, title: "Move up", onclick: up }, "↑") : null,
        el("button", { type: "button", class: "quiet", "aria-label": `Remove ${name}`, title: "Remove", onclick: remove }, "×")));
    });
    const add = () => {
      if (!Array.isArray(this.definition[field])) this.definition[field] = [];
      this.definition[field].push(made());
      this.rebuild(`/${field}/${this.definition[field].length - 1}/name`);
    };
    const fault = el("p", { class: "fault", hidden: true, id: `field-${field}-fault` });
    const button = el("button", { type: "button", onclick: add, "aria-describedby": fault.id }, adding);
    this.fields.controls.set(`/${field}`, { control: button, fault });
    return section(title, help, ...framed, fault, el("div", {}, button));
  }

  suggester() {
    return this.named("suggester", "Suggester", this.catalog.suggesters, "auto", this.fields.number("/suggester/seed", "Seed", { hint: "drawn", help: "The same seed gives the same points." }));
  }

  stopping() {
    return this.named("early_stopping", "Early stopping", this.catalog.early_stopping, "none");
  }

  named(field, title, choices, normal, ...more) {
    const pointer = `/${field}/name`;
    const value = at(this.definition, pointer) || normal;
    const info = choices.find((each) => each.name === value);
    const change = () => {
      put(this.definition, `/${field}/options`, undefined);
      this.rebuild(pointer);
    };
    return section(title, (info?.summary || "").replaceAll("`", ""),
      el("div", { class: "line" }, this.fields.choice(pointer, "Name", choices.map((each) => [each.name, each.name]), { onChange: change, otherwise: normal }), ...more),
      this.options(`/${field}/options`, info?.options));
  }

  limits() {
    const controls = Object.entries(this.catalog.limits).map(([name, spec]) => this.option(`/limits/${name}`, name, { ...spec, default: null }));
    const progress = [this.fields.number("/limits/no_progress/trials", "End after trials without a gain"), this.fields.number("/limits/no_progress/min_gain", "Least gain that counts", { hint: "any" })];
    return section("Limits", "All optional; without max trials a study runs until somebody stops it.", el("div", { class: "options" }, ...controls, ...progress));
  }

  rest() {
    const kept = Object.keys(this.definition).filter((name) => !KNOWN.includes(name));
    return kept.length ? [el("p", { class: "small" }, `Kept as it is, to be changed in the JSON tab: ${kept.map(words).join(", ")}.`)] : [];
  }
}

// The service's own name as a label: `step_s` is "Step (s)".
function labelOf(name) {
  if (LABELS[name]) return LABELS[name];
  const text = words(name.replace(/_s$/, ""));
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${name.endsWith("_s") ? " (s)" : ""}`;
}

const LABELS = { n_initial: "Points before the model", max_duration_s: "Longest duration (s)", max_trial_duration_s: "Longest trial (s)", target: "Value at which it ends", min_gain_per_h: "Least gain per hour", max_resource_total: "Steps in total" };

const rowsOf = (definition, field) => (Array.isArray(definition[field]) ? definition[field].map((row) => (row !== null && typeof row === "object" ? row : {})) : []);

function section(title, help, ...content) {
  return el("fieldset", { class: "panel part" }, el("legend", {}, title), help ? el("p", { class: "small" }, help) : null, ...content);
}

// What of a JSON schema a field can be made of; null where nothing is known.
function schemaOptions(schema) {
  if (!schema?.properties) return null;
  return Object.fromEntries(Object.entries(schema.properties).map(([name, of]) => [name, { type: { integer: "int", number: "float", boolean: "bool", string: "str" }[of.type] || "str", choices: of.enum || null, default: of.default, help: of.description || "" }]));
}
