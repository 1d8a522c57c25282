// A point of the reader's own, tried before suggested ones: one field for each parameter. What is left empty the
// suggester fills in.

import { el, named, toast } from "../../lib/dom.js";
import { field, formDialog, writer } from "../../lib/forms.js";
import { number } from "../../lib/format.js";

const EMPTY = "";

function rangeOf(parameter) {
  if (parameter.type === "categorical") return "";
  const scale = parameter.log ? ", log" : "";
  const step = parameter.step && parameter.type === "float" ? `, step ${number(parameter.step)}` : "";
  return `${number(parameter.low)} to ${number(parameter.high)}${parameter.type === "int" ? ", whole" : ""}${scale}${step}`;
}

function conditionOf({ when }) {
  if (!when) return "";
  if (when.in) return `only with ${when.param} = ${when.in.map(String).join(" or ")}`;
  return `only with ${when.param} from ${when.low ?? "any"} to ${when.high ?? "any"}`;
}

function controlOf(parameter, value) {
  if (parameter.type !== "categorical") {
    return el("input", { type: "text", inputmode: "decimal", autocomplete: "off", value: value === undefined ? null : String(value), placeholder: "left to the suggester" });
  }
  const options = parameter.choices.map((choice, k) => el("option", { value: k, selected: choice === value }, String(choice)));
  return el("select", {}, el("option", { value: EMPTY }, "left to the suggester"), ...options);
}

function valueOf(parameter, control) {
  const text = control.value.trim();
  if (text === EMPTY) return undefined;
  if (parameter.type === "categorical") return parameter.choices[Number(text)];
  const found = Number(text.replace(",", "."));
  return Number.isFinite(found) ? found : text; // the service says at this field what is wrong with it
}

// Whether a parameter can be active: true too while its parent is left to the suggester.
function canBeActive({ when }, values) {
  if (!when || values[when.param] === undefined) return true;
  const parent = values[when.param];
  if (when.in) return when.in.includes(parent);
  return (when.low === null || when.low === undefined || parent >= when.low) && (when.high === null || when.high === undefined || parent <= when.high);
}

const escaped = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");

// Asks for a point and enqueues it. study: {id, definition, name}; like: params to begin with.
// Resolves to the new trial, or null.
export async function enqueue(study, like = {}, likeNumber = null) {
  const { space } = study.definition;
  const fields = space.map((parameter) => {
    const hint = [rangeOf(parameter), conditionOf(parameter)].filter(Boolean).join("; ");
    const pointers = [`/trials/0/params/${escaped(parameter.name)}`];
    return field({ label: named(parameter.name), control: controlOf(parameter, like[parameter.name]), hint, pointers });
  });
  const values = () => Object.fromEntries(space.map((parameter, k) => [parameter.name, valueOf(parameter, fields[k].control)]).filter(([, value]) => value !== undefined));
  const settle = () => {
    const typed = values();
    const active = new Set();
    space.forEach((parameter, k) => {
      const isActive = canBeActive(parameter, typed) && (!parameter.when || active.has(parameter.when.param));
      if (isActive) active.add(parameter.name);
      fields[k].control.disabled = !isActive;
      fields[k].row.classList.toggle("is-inactive", !isActive);
    });
    return Object.fromEntries(Object.entries(typed).filter(([name]) => active.has(name)));
  };
  for (const { control } of fields) control.addEventListener("input", settle);
  settle();
  const write = writer();
  const title = likeNumber === null ? "Enqueue a point" : `Enqueue a point like trial ${likeNumber}`;
  const trial = await formDialog({
    title,
    intro: el("p", { class: "small" }, "It is tried before the points that are suggested. What you leave empty, the suggester fills in."),
    fields,
    go: "Enqueue",
    run: async () => (await write("POST", `/v1/studies/${encodeURIComponent(study.id)}/trials`, { trials: [{ params: settle() }] })).trials[0],
  });
  if (trial) toast(`Trial ${trial.number} is enqueued.`, "Look at it", () => (location.href = `/trials/${encodeURIComponent(trial.id)}`));
  return trial;
}
