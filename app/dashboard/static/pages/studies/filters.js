// The filters: what is chosen lives in the address. On narrow screens they are a sheet behind one button.

import { el, fill, part } from "../../lib/dom.js";
import { plural, words } from "../../lib/format.js";
import * as view from "../../lib/view.js";

export const KNOWN = ["state", "label", "name", "sort", "page"];
const DEFAULT_SORT = "-updated_at";
const OPEN = "active,paused,stopping";
const STATES = ["active", "paused", "stopping", "completed", "cancelled", "failed"];
const SORTS = ["name", "-name", "updated_at", "-updated_at", "created_at", "-created_at"];
const TYPING_MS = 250;

// What the address asks for, as parameters of the list.
export function asked() {
  const sort = view.read("sort");
  return {
    state: view.read("state"),
    label: view.readAll("label"),
    name_contains: view.read("name"),
    order_by: SORTS.includes(sort) ? sort : DEFAULT_SORT,
    page_token: view.read("page"),
  };
}

export const isFiltered = () => ["state", "label", "name"].some((name) => view.read(name));

// Shows what the address says; fields that somebody types in stay as they are.
export function showFilters(counts) {
  const state = view.read("state") || "";
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const open = OPEN.split(",").reduce((sum, name) => sum + (counts[name] || 0), 0);
  const options = [["", `any (${total})`], [OPEN, `open (${open})`], ...STATES.map((name) => [name, `${words(name)} (${counts[name] || 0})`])];
  if (!options.some(([value]) => value === state)) options.push([state, words(state)]);
  showOptions(part("state"), options);
  part("state").value = state;
  for (const [id, text] of [["label", view.readAll("label").join(", ")], ["search", view.read("name") || ""]]) {
    if (document.activeElement !== part(id)) part(id).value = text;
  }
  part("sort").value = asked().order_by;
  part("clear").hidden = !isFiltered();
  const shown = state ? state.split(",").reduce((sum, name) => sum + (counts[name] || 0), 0) : total;
  part("done").textContent = `Show ${plural(shown, "study", "studies")}`;
}

// The same options get new texts in place: somebody may be going through them.
function showOptions(select, options) {
  const isSame = [...select.options].map((option) => option.value).join() === options.map(([value]) => value).join();
  if (!isSame) fill(select, ...options.map(([value]) => el("option", { value })));
  for (const [k, [, text]] of options.entries()) if (select.options[k].text !== text) select.options[k].text = text;
}

export function showLabels(studies) {
  const found = [...new Set(studies.flatMap((study) => Object.entries(study.labels).map(([key, value]) => `${key}=${value}`)))].sort();
  fill(part("labels"), ...found.slice(0, 100).map((value) => el("option", { value })));
}

function labelsTyped() {
  const given = part("label").value.split(",").map((text) => text.trim()).filter(Boolean);
  const wrong = given.find((text) => text.indexOf("=") <= 0);
  part("filter-problem").hidden = !wrong;
  part("filter-problem").textContent = wrong ? `A label is key=value, for example team=vision; "${wrong.slice(0, 60)}" has no key or no "=".` : "";
  part("label").setAttribute("aria-invalid", String(Boolean(wrong)));
  return wrong ? null : given;
}

const change = (values) => view.change({ ...values, page: null });

export function listen() {
  part("state").addEventListener("change", () => change({ state: part("state").value }));
  part("sort").addEventListener("change", () => change({ sort: part("sort").value === DEFAULT_SORT ? null : part("sort").value }));
  part("label").addEventListener("change", () => {
    const labels = labelsTyped();
    if (labels) change({ label: labels });
  });
  let timer = null;
  part("search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => change({ name: part("search").value }), TYPING_MS);
  });
  part("clear").addEventListener("click", () => {
    part("label").value = part("search").value = "";
    labelsTyped();
    change({ state: null, label: null, name: null });
  });
  for (const head of document.querySelectorAll("th[data-sort]")) head.querySelector("button").addEventListener("click", () => turn(head.dataset.sort));
  listenToSheet();
}

function turn(name) {
  const down = `-${name}`;
  const first = name === "name" ? name : down;
  const other = first === name ? down : name;
  change({ sort: asked().order_by === first ? other : first });
}

export function showSort() {
  const sort = asked().order_by;
  for (const head of document.querySelectorAll("th[data-sort]")) {
    const is = sort.replace("-", "") === head.dataset.sort;
    if (is) head.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

function listenToSheet() {
  const [opener, sheet] = [part("filters-open"), part("filters")];
  const turnSheet = (isOpen) => {
    sheet.classList.toggle("is-open", isOpen);
    opener.setAttribute("aria-expanded", String(isOpen));
    (isOpen ? part("state") : opener).focus();
  };
  opener.addEventListener("click", () => turnSheet(!sheet.classList.contains("is-open")));
  sheet.addEventListener("submit", (event) => {
    event.preventDefault();
    part("search").blur();
    if (sheet.classList.contains("is-open")) turnSheet(false);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && sheet.classList.contains("is-open")) turnSheet(false);
  });
}
