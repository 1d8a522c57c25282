// The dialog that edits a study's limits. Faults stand at their field; when somebody else was quicker, what they
// changed is told, and what the reader had not touched takes the new values.

import { ApiError, get } from "../../lib/api.js";
import { el } from "../../lib/dom.js";
import { field, formDialog, Meanwhile, tagOf, writer } from "../../lib/forms.js";

const FIELDS = [
  { path: ["max_trials"], label: "Trials at most", hint: "Failed and cancelled ones give their place back." },
  { path: ["max_parallel"], label: "Trials at the same time" },
  { path: ["max_duration_s"], label: "Seconds since the start", hint: "Pauses included." },
  { path: ["max_trial_duration_s"], label: "Seconds that one attempt may run" },
  { path: ["target"], label: "Value at which the study ends", hint: "Of the first metric." },
  { path: ["max_resource_total"], label: "Steps of all trials together" },
  { path: ["min_gain_per_h"], label: "Least expected gain per hour" },
  { path: ["no_progress", "trials"], label: "End after so many trials without a gain" },
  { path: ["no_progress", "seconds"], label: "End after so many seconds without a gain" },
  { path: ["no_progress", "min_gain"], label: "What counts as a gain, at least" },
];

const at = (limits, [name, inner]) => (inner ? limits[name]?.[inner] : limits[name]) ?? null;

const textOf = (value) => (value === null ? "" : String(value));

function valueOf(text) {
  const typed = text.trim();
  if (typed === "") return null;
  const found = Number(typed.replace(",", "."));
  return Number.isFinite(found) ? found : typed; // the service says at this field what is wrong with it
}

export async function editLimits(base, study, differences) {
  const write = writer();
  let before = study;
  const fields = FIELDS.map(({ path, label, hint = "" }) => {
    const control = el("input", { type: "text", inputmode: "decimal", autocomplete: "off", placeholder: "no limit", value: textOf(at(before.definition.limits, path)) });
    return { ...field({ label, control, hint, pointers: [`/limits/${path.join("/")}`] }), path };
  });
  const limits = () => {
    const found = { no_progress: {} };
    for (const { path, control } of fields) {
      const value = valueOf(control.value);
      if (path.length === 1) found[path[0]] = value;
      else if (value !== null) found.no_progress[path[1]] = value;
    }
    if (!("trials" in found.no_progress) && !("seconds" in found.no_progress)) found.no_progress = null;
    return found;
  };
  const meanwhile = async (error) => {
    if (!(error instanceof ApiError) || error.status !== 412) return null;
    const now = await get(base);
    for (const { path, control } of fields) {
      const isTouched = control.value.trim() !== textOf(at(before.definition.limits, path));
      if (!isTouched) control.value = textOf(at(now.definition.limits, path));
    }
    const text = `Somebody changed the study meanwhile. ${differences(before, now)} Save again to keep what you typed.`;
    before = now;
    return new Meanwhile(text);
  };
  return formDialog({
    title: "Edit limits",
    intro: el("p", { class: "small" }, "An empty field is no limit. Each takes effect at once; a study that a limit has ended can be resumed when that limit is raised."),
    fields,
    go: "Save limits",
    run: () => write("PATCH", base, { limits: limits() }, { match: tagOf(before) }),
    explain: meanwhile,
  });
}
