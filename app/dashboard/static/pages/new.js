// A new study: a form, or JSON; the service checks each change without making anything. What was typed stays through
// every error, and through a reload of the tab.

import { ApiError, get, newKey, send } from "../lib/api.js";
import { copy, el, fill, named, part } from "../lib/dom.js";
import "../lib/keys.js";
import { curlOf, pythonOf, python } from "../lib/snippets.js";
import { open, reader } from "../lib/page.js";
import { mayWrite, said, signIn } from "../lib/session.js";
import * as view from "../lib/view.js";
import { Form } from "./new/form.js";
import { BLANK, TEMPLATES } from "./new/templates.js";
import { counted, showChecked, showFaults, showWarnings } from "./new/verdict.js";

const DRAFT = "tunewell:new-study";
const WAIT_MS = 350;

let catalog = null;
let form = null;
let definition = null;
let touched = new Set(); // null: faults of all fields are shown
let faults = [];
let asked = 0; // numbers the checks: only the last one's answer counts
let timer = null;
let isSending = false;

async function read() {
  const may = await mayWrite();
  part("may-not").hidden = may;
  part("template").parentElement.hidden = !may;
  if (!may || form) return;
  catalog = await get("/v1/catalog");
  await begin();
  part("making").hidden = false;
}

async function begin() {
  const from = view.read("from");
  const template = TEMPLATES.get(view.read("template"));
  const draft = drafted();
  if (draft && draft.of === location.search.replace(/[?&]tab=\w+/, "")) take(draft.definition, null);
  else if (from) await clone(from);
  else take(structuredClone(template ? template[1] : BLANK), template ? null : new Set());
  fill(part("template"), ...[["", "an empty form"], ...[...TEMPLATES].map(([name, [text]]) => [name, text])].map(([value, text]) => el("option", { value }, text)));
  part("template").value = template ? view.read("template") : "";
  turnTo(view.read("tab") === "json" ? "json" : "form");
}

async function clone(id) {
  try {
    const study = await get(`/v1/studies/${encodeURIComponent(id)}`);
    take({ ...given(study.definition), name: freeName(study.name) }, null);
    fill(part("origin"), "A copy of ", el("a", { href: `/studies/${encodeURIComponent(id)}` }, named(study.name)), "; change its name and what is to be different.");
  } catch (error) {
    if (error.status !== 404) throw error;
    take(structuredClone(BLANK), new Set());
    fill(part("origin"), "The study that was to be copied is not there (any more): this is an empty form.");
  }
  part("origin").hidden = false;
}

// What was given: a shown definition has null and empty where nothing was.
function given(value) {
  if (Array.isArray(value)) return value.map(given);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, given(inner)]).filter(([, inner]) => inner !== null && inner !== "" && (typeof inner !== "object" || Object.keys(inner).length)));
}

function freeName(name) {
  const [, stem, n] = name.match(/^(.*?)-(\d{1,4})$/s) || [null, name, "1"];
  return `${stem.slice(0, 190)}-${Number(n) + 1}`;
}

// Shows another definition in both tabs.
function take(given, seen) {
  definition = given;
  touched = seen;
  form = new Form(part("form"), definition, catalog, changed);
  part("json").value = JSON.stringify(definition, null, 2);
  check();
}

// --- keeping what was typed ---

function drafted() {
  try {
    return JSON.parse(sessionStorage.getItem(DRAFT));
  } catch {
    return null;
  }
}

const keep = () => sessionStorage.setItem(DRAFT, JSON.stringify({ of: location.search.replace(/[?&]tab=\w+/, ""), definition }));

// --- changes and checks ---

function changed(pointer) {
  if (touched && pointer) touched.add(pointer);
  part("json").value = JSON.stringify(definition, null, 2);
  part("json-fault").textContent = "";
  afterChange();
}

function afterChange() {
  part("outcome").textContent = "";
  attempt = null;
  keep();
  clearTimeout(timer);
  showChecked("Checking ...");
  timer = setTimeout(check, WAIT_MS);
}

// The check that is to come does not, and the one that is under way has nothing to say any more.
function dropChecks() {
  asked += 1;
  clearTimeout(timer);
}

async function check() {
  const own = (asked += 1);
  if (touched && !touched.size) return showChecked("Fill in the form: each change is checked, and nothing is made before the button is pressed.");
  try {
    const { warnings } = await send("POST", "/v1/studies?dry_run=true", definition);
    if (own !== asked) return;
    faults = [];
    showWarnings(warnings);
    showChecked("No fault found.");
  } catch (error) {
    if (own !== asked) return;
    if (error.status === 401) return signIn(error).then(check);
    if (!(error instanceof ApiError) || error.status >= 500) {
      showChecked(`Not checked: ${said(error)} What you typed stays.`, true);
      timer = setTimeout(check, 5_000);
      return;
    }
    faults = error.errors.length ? error.errors : [{ pointer: "", detail: error.message }];
    showWarnings([]);
  }
  judge();
}

function judge() {
  const n = showFaults(form, faults, touched);
  if (faults.length) showChecked(counted(n, faults.length > n), n > 0);
}

// A field that was left counts as seen, also when nothing was typed.
part("form").addEventListener("focusout", (event) => {
  const place = [...form.fields.controls].find(([, { control }]) => control === event.target)?.[0];
  if (!place || !touched || touched.has(place) || event.target.tagName === "BUTTON") return;
  touched.add(place);
  judge();
});

part("faults").addEventListener("click", (event) => {
  const place = event.target.closest("[data-place]")?.dataset.place;
  if (!place) return;
  turnTo("form");
  form.fields.controls.get(place)?.control.focus();
});

// --- JSON ---

part("json").addEventListener("input", () => {
  try {
    const given = JSON.parse(part("json").value);
    if (given === null || typeof given !== "object" || Array.isArray(given)) throw new SyntaxError("a definition is an object, { ... }");
    part("json-fault").textContent = "";
    definition = given.study && !given.space ? given.study : given;
    touched = null;
    form = new Form(part("form"), definition, catalog, changed);
    afterChange();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    dropChecks();
    part("json-fault").textContent = `This is no JSON yet: ${error.message}`;
    showChecked("Not checked: the text is no JSON yet. The form shows the last one that was.", true);
  }
});

function turnTo(name) {
  for (const each of ["form", "json"]) {
    const is = each === name;
    part(`tab-${each}`).setAttribute("aria-selected", String(is));
    part(`tab-${each}`).tabIndex = is ? 0 : -1;
    part(`panel-${each}`).hidden = !is;
  }
  view.change({ tab: name === "json" ? "json" : null });
}

for (const name of ["form", "json"]) {
  part(`tab-${name}`).addEventListener("click", () => turnTo(name));
  part(`tab-${name}`).addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = name === "form" ? "json" : "form";
    turnTo(other);
    part(`tab-${other}`).focus();
  });
}

part("template").addEventListener("change", () => {
  const name = part("template").value;
  view.change({ template: name, from: null });
  part("origin").hidden = true;
  take(structuredClone(TEMPLATES.get(name)?.[1] || BLANK), name ? null : new Set());
  keep();
});

// --- making it ---

let attempt = null; // {key, text} of what was sent: the same again is not made twice

part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  create();
});

async function create() {
  if (isSending) return;
  if (part("json-fault").textContent) return void part("json").focus();
  isSending = true;
  dropChecks(); // a check does not look at names that are taken: it would take the refusal away
  part("create").disabled = true;
  part("outcome").textContent = "";
  touched = null;
  const text = JSON.stringify(definition);
  if (attempt?.text !== text) attempt = { key: newKey(), text };
  try {
    const study = await sent(attempt);
    sessionStorage.removeItem(DRAFT);
    location.assign(`/studies/${encodeURIComponent(study.id)}`);
  } catch (error) {
    refusal(error);
  } finally {
    isSending = false;
    part("create").disabled = false;
  }
}

async function sent({ key, text }) {
  for (;;) {
    try {
      return await send("POST", "/v1/studies", JSON.parse(text), { "Idempotency-Key": key });
    } catch (error) {
      if (error.status !== 401) throw error;
      await signIn(error);
    }
  }
}

function refusal(error) {
  if (error.status === 422 && error.errors.length) faults = error.errors;
  else if (error.code === "already-exists") faults = [{ pointer: "/name", detail: error.message }];
  else {
    part("outcome").textContent = `${said(error)} Nothing typed is lost: press the button again.`;
    return void check();
  }
  judge();
  turnTo("form");
  part("form").querySelector("[aria-invalid]")?.focus();
}

part("copy-curl").addEventListener("click", () => copy(curlOf("/v1/studies", { body: definition }), "a curl command"));
part("copy-python").addEventListener("click", () => copy(pythonOf(`study = client.create_study(${python(definition)})`), "Python"));

await open(reader(read));
