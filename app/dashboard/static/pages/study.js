// One study: its head, its tabs, and what events do to both. Each tab is a module of pages/study/ that exports
//
//   tab(context) -> { element, show(), update(events), leave() }
//
// made when it is first opened. `element` stands in the page while the tab is open. `show()` is called at each
// opening and when everything has to be read anew; `update(events)` while it is open, at most four times a second and
// never under a pressed pointer; `leave()` when another one is opened: charts are disposed of then.
// The context: id; base ("/v1/studies/ID"); study(), the newest study object; mayWrite, whether this role may;
// selection (selection.js); link(number), a promise of a trial's page; refresh(), reads the study and the tab anew;
// running, trials that run by number. An event about a running trial has its number in `data.number`.

import { atLeast, get, getFresh, Unanswered } from "../lib/api.js";
import { el, fill, part } from "../lib/dom.js";
import "../lib/keys.js";
import { onEvents, start } from "../lib/live.js";
import { allIsWell, explain, mayWrite } from "../lib/session.js";
import { change, onChange, read, unknown } from "../lib/view.js";
import { metricNames, objectives } from "./study/common.js";
import { Head } from "./study/head.js";
import { Selection } from "./study/selection.js";

const TABS = [
  { name: "overview", title: "Overview" },
  { name: "trials", title: "Trials" },
  { name: "parameters", title: "Parameters" },
  { name: "pareto", title: "Pareto", isFor: (study) => study.definition.metrics.filter((metric) => metric.role === "objective").length > 1 },
  { name: "rungs", title: "Rungs", isFor: (study) => study.definition.early_stopping.name !== "none" },
  { name: "timeline", title: "Timeline" },
  { name: "suggester", title: "Suggester" },
  { name: "failures", title: "Failures", count: (study) => study.trial_counts.failed },
  { name: "definition", title: "Definition" },
];
const KNOWN = ["tab", "metric", "from", "to", "param", "log", "over", "target", "x", "y", "axes", "sort", "cols", "state", "sel", "at", "find"];
const RESUME_MS = 400;

const id = decodeURIComponent(location.pathname.split("/")[2] || "");
const base = `/v1/studies/${encodeURIComponent(id)}`;
const opened = new Map();
let study = null;
let current = null; // the open tab's name
let head = null;
let waiting = []; // events for the open tab
let isPressed = false;
let numbers = new Map(); // of running trials, by id

const context = {
  id,
  base,
  study: () => study,
  mayWrite: false,
  selection: null,
  isDeleted: false, // by this page itself, which offers to undo it
  running: new Map(), // by number: {id, step, value, values} of trials that run
  link: async (number) => {
    const { trials } = await get(`${base}/trials`, { where: `number:${number}`, page_size: 1 });
    return `/trials/${encodeURIComponent(trials[0].id)}`;
  },
  refresh,
};

async function readStudy() {
  study = await getFresh(base);
  showStudy();
}

// Events change it in place: what was read stays as it was read.
function showStudy() {
  study = { ...study, trial_counts: { ...study.trial_counts } };
  head.show(study);
  showTabs();
  allIsWell();
}

// Which trials run: measurements name a trial by its id only.
async function readRunning() {
  const { trials } = await get(`${base}/trials`, { state: "running", page_size: 200 });
  const known = new Map(context.running);
  context.running.clear();
  for (const { id: trial, number, step, to_step: toStep } of trials) context.running.set(number, { step, toStep, ...known.get(number), id: trial });
  numbers = new Map(trials.map((trial) => [trial.id, trial.number]));
}

async function refresh() {
  await Promise.all([readStudy(), readRunning()]);
  await opened.get(current)?.show();
}

// --- tabs ---

const offered = () => TABS.filter((tab) => !tab.isFor || tab.isFor(study));

const wanted = () => {
  const name = read("tab") || "overview";
  return TABS.some((tab) => tab.name === name) ? name : "overview";
};

const tabAddress = (name) => {
  const asked = new URLSearchParams(location.search);
  if (name === "overview") asked.delete("tab");
  else asked.set("tab", name);
  return asked.size ? `${location.pathname}?${asked}` : location.pathname;
};

function tabLink({ name, title, count }) {
  const n = count ? count(study) : 0;
  const link = el("a", { href: tabAddress(name), "data-tab": name, "aria-current": name === wanted() ? "page" : null }, title);
  if (n) link.append(" ", el("span", { class: "count" }, `(${n})`));
  return link;
}

function showTabs() {
  const focused = document.activeElement?.dataset?.tab;
  fill(part("tabs"), ...offered().map(tabLink));
  if (focused) part("tabs").querySelector(`[data-tab="${focused}"]`)?.focus();
}

// In a narrow window the tabs scroll sideways; the page itself stays where it is.
function bringTabIntoSight() {
  const tabs = part("tabs");
  const open = tabs.querySelector("[aria-current]");
  if (!open) return; // an address can name a tab that this study has not
  const bounds = tabs.getBoundingClientRect();
  const { left, right } = open.getBoundingClientRect();
  tabs.scrollLeft += Math.min(left - bounds.left, Math.max(0, right - bounds.right));
}

part("tabs").addEventListener("click", (event) => {
  const link = event.target.closest("a[data-tab]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  change({ tab: link.dataset.tab === "overview" ? null : link.dataset.tab }, { push: true });
});

async function openTab() {
  const name = wanted();
  if (name === current) return;
  opened.get(current)?.leave();
  current = name;
  waiting = [];
  showTabs();
  bringTabIntoSight();
  const box = part("view");
  try {
    if (!opened.has(name)) {
      box.replaceChildren(el("p", { class: "soft loading" }, "Loading..."));
      opened.set(name, (await import(`./study/${name}.js`)).tab(context));
    }
  } catch (error) {
    if (current === name) box.replaceChildren(notLoaded(error));
    return;
  }
  if (current !== name) return; // another one was opened meanwhile
  box.replaceChildren(opened.get(name).element);
  await opened.get(name).show();
}

function notLoaded(error) {
  const again = () => {
    current = null;
    openTab().catch(explain);
  };
  const button = el("button", { type: "button", onclick: again }, "Try again");
  return el("section", { class: "panel", role: "alert" }, el("p", {}, `This part of the page could not be loaded (${error.message}). Reload the page if the service was updated.`), button);
}

// --- live ---

function take(events) {
  if (events.some((event) => event.kind === "reset")) return refresh().catch(explain);
  // One by one: an event may come twice, also in one lot.
  const news = events.filter((event) => Number(event.seq) > study.change_seq && apply(event));
  if (!news.length) return undefined;
  head.show(study);
  showTabs();
  context.selection.update(news);
  waiting.push(...news);
  return pass();
}

function apply(event) {
  study.change_seq = Number(event.seq);
  if (event.kind === "trial.state") {
    const { previous, state } = event.data;
    const counts = study.trial_counts;
    if (previous) counts[previous] = Math.max(0, (counts[previous] || 0) - 1);
    counts[state] = (counts[state] || 0) + 1;
    if (state === "running") {
      numbers.set(event.trial_id, event.data.number);
      context.running.set(event.data.number, { ...context.running.get(event.data.number), id: event.trial_id });
    } else {
      numbers.delete(event.trial_id);
      context.running.delete(event.data.number);
    }
  } else if (event.kind === "trial.measurement") {
    event.data.number = numbers.get(event.trial_id) ?? null;
    const running = context.running.get(event.data.number);
    const [metric] = objectives(study.definition);
    if (running) Object.assign(running, { step: event.data.step, value: event.data.values[metric.name] ?? running.value, values: { ...running.values, ...event.data.values } });
  } else if (event.kind === "study.best") {
    head.best(event);
    readSoon();
  } else if (event.kind === "study.state") readSoon();
  return true;
}

let soon = null;

// The study itself says more than its events: its limits, its best trial, who may do what.
function readSoon() {
  soon = soon || setTimeout(() => {
    soon = null;
    readStudy().catch((error) => context.isDeleted || explain(error));
  }, RESUME_MS);
}

// Nothing moves under a pressed pointer, an open menu or a question.
const isBusy = () => isPressed || document.querySelector("dialog[open], details.menu[open]") !== null;

function pass() {
  if (!waiting.length || !current) return undefined;
  if (isBusy()) return void setTimeout(pass, RESUME_MS);
  const events = waiting;
  waiting = [];
  return opened.get(current)?.update(events);
}

addEventListener("pointerdown", () => (isPressed = true), true);
for (const name of ["pointerup", "pointercancel", "blur"]) {
  addEventListener(name, () => {
    isPressed = false;
    setTimeout(pass, 0);
  }, true);
}

// --- start ---

function noteUnknown() {
  const names = unknown(KNOWN);
  part("view-note").hidden = !names.length;
  part("view-note").textContent = names.length ? `This page does not know ${names.join(", ")} in its address; that is ignored.` : "";
}

// A study with one metric, the most usual one, does without the module.
async function showMetrics() {
  if (metricNames(study).length < 2 && !read("metric")) return;
  const { MetricChoice } = await import("./study/metric.js");
  part("metric").replaceWith(new MetricChoice(context).element);
}

async function showActions() {
  if (!context.mayWrite) return;
  const { actions } = await import("./study/actions.js");
  part("actions").replaceChildren(actions(context));
}

async function begin() {
  await start();
  [study, context.mayWrite] = await Promise.all([getFresh(base), mayWrite(), readRunning()]);
  atLeast(study.change_seq);
  head = head || new Head(context);
  context.selection = context.selection || new Selection(context);
  showStudy();
  noteUnknown();
  showMetrics().catch(explain);
  showActions().catch((error) => error instanceof Unanswered || console.warn("no actions:", error.message));
  await openTab();
  performance.mark("tunewell:drawn"); // all panels of the first view: the benchmark waits for it
}

onEvents((events) => study && take(events), { study: id });
onChange((names) => {
  showTabs();
  if (names === null || names.includes("tab")) openTab().catch(explain);
});
for (;;) {
  try {
    await begin();
    break;
  } catch (error) {
    await explain(error, { of: "page" });
  }
}
