// One trial: what ran, where, why this point, what came out.

import { ApiError, get, getFresh } from "../lib/api.js";
import { ask, copy, el, keepingFocus, part, toast } from "../lib/dom.js";
import { guarded, menu, tagOf, writer } from "../lib/forms.js";
import { onKey } from "../lib/keys.js";
import { onEvents, start } from "../lib/live.js";
import { allIsWell, explain, mayWrite, said } from "../lib/session.js";
import { curlOf, python, pythonOf } from "../lib/snippets.js";
import { enqueue } from "./study/enqueue.js";
import { attemptsPanel, parametersPanel, showFailure, showHead, showNeighbours, showResult, whyPanel } from "./trial/blocks.js";
import { Curve } from "./trial/curve.js";
import { Log } from "./trial/log.js";
import { Note } from "./trial/note.js";

const id = decodeURIComponent(location.pathname.split("/")[2] || "");
const path = `/v1/trials/${encodeURIComponent(id)}`;
const OPEN = ["pending", "running", "paused"];
const TICK_MS = 5_000;
const STUDY_MS = 2_000;
const REPORTS_MS = 500;

let trial = null;
let study = null;
let near = { before: null, after: null };
let blocks = null;
const workers = new Map();
const write = writer();

async function nameWorkers() {
  const unknown = [...new Set(trial.attempts.map((attempt) => attempt.worker_id))].filter((each) => each && !workers.has(each));
  await Promise.all(unknown.map(async (each) => {
    try {
      workers.set(each, (await get(`/v1/workers/${encodeURIComponent(each)}`)).name);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      workers.set(each, `${each} (gone)`);
    }
  }));
}

// The trials before and after by number.
async function readNeighbours() {
  const { trials } = await get(`/v1/studies/${encodeURIComponent(study.id)}/trials`, { where: `number:${trial.number - 1}..${trial.number + 1}`, page_size: 3 });
  near = { before: trials.find(({ number }) => number < trial.number) || null, after: trials.find(({ number }) => number > trial.number) || null };
}

async function readTrial() {
  trial = await getFresh(path);
  if (study === null) await readStudy();
  await nameWorkers();
  draw();
}

async function readStudy() {
  study = await getFresh(`/v1/studies/${encodeURIComponent(trial.study_id)}`);
}

function draw() {
  showHead(trial, study);
  showResult(trial, study);
  showFailure(trial);
  showNeighbours(trial, study, near);
  blocks.parameters.show(trial, study);
  blocks.why.show(trial, study);
  blocks.attempts.show(trial, workers);
  blocks.note.show(trial);
  showActions();
}

// --- what one can do ---

const buttons = {
  cancel: guarded(el("button", { type: "button", class: "danger", hidden: true }, "Cancel trial"), cancel),
  retry: guarded(el("button", { type: "button", hidden: true }, "Retry"), () => act("retry", "It waits to be tried again.")),
  enqueue: guarded(el("button", { type: "button", hidden: true }, "Enqueue a point like this"), () => enqueue(study, trial.params, trial.number)),
  copy: menu("Copy", el("button", { type: "button", onclick: () => copy(curlOf(path), "the curl command") }, "curl"), el("button", { type: "button", onclick: () => copy(pythonOf(`print(client.get_trial(${python(id)}))`), "the Python script") }, "Python"),
    el("button", { type: "button", onclick: () => copy(JSON.stringify(trial.params, null, 2), "the parameters") }, "parameters as JSON")),
};
const clone = el("a", { class: "button", hidden: true }, "Clone study");
let isWriter = false;

function showActions() {
  keepingFocus(part("actions"), offer);
}

function offer() {
  const isStudyOpen = ["active", "paused"].includes(study.state);
  buttons.cancel.hidden = !isWriter || !OPEN.includes(trial.state);
  buttons.retry.hidden = !isWriter || trial.state !== "failed";
  clone.hidden = !isWriter;
  clone.href = `/new?from=${encodeURIComponent(trial.study_id)}`;
  buttons.enqueue.hidden = !isWriter || !isStudyOpen;
}

async function act(verb, done) {
  try {
    await write("POST", `${path}:${verb}`, undefined, { match: tagOf(trial) });
    toast(done);
  } catch (error) {
    if (error instanceof ApiError && error.status === 412) toast(`Nothing was done: the trial changed meanwhile. ${await difference()}`);
    else toast(said(error));
  }
  await readTrial();
}

async function difference() {
  const before = trial;
  const now = await get(path);
  const parts = [];
  if (now.state !== before.state) parts.push(`It is ${now.state} now, it was ${before.state}.`);
  if (now.note !== before.note) parts.push("Its note was changed.");
  return parts.join(" ") || "Look at it anew.";
}

async function cancel() {
  const isRunning = trial.state === "running";
  const text = isRunning ? `Trial ${trial.number} runs now. What it has trained since its last checkpoint is lost, and it gets no final value.` : `Trial ${trial.number} is ${trial.state}. It will not be tried.`;
  if (await ask(`Cancel trial ${trial.number}?`, text, "Cancel trial", "Keep it")) await act("cancel", "The trial is cancelled.");
}

// --- live ---

let soon = null;

function studySoon() {
  soon = soon || setTimeout(async () => {
    soon = null;
    try {
      await readStudy();
      draw();
      await blocks.curve.load(trial, study);
    } catch (error) {
      explain(error);
    }
  }, STUDY_MS);
}

async function take(events) {
  const own = events.filter((event) => event.trial_id === id);
  if (own.some((event) => event.kind === "trial.measurement")) reportsSoon();
  const isNew = events.some((event) => event.kind === "trial.state" && event.data.number === trial.number + 1 && !near.after);
  if (events.some(({ kind }) => kind === "reset")) return show();
  if (isNew) await readNeighbours();
  if (own.some((event) => event.kind !== "trial.measurement")) {
    await readTrial();
    await Promise.all([blocks.curve.load(trial, study), blocks.log.load(trial)]);
  } else if (isNew) draw();
  if (events.some((event) => event.kind === "study.best" || event.kind === "study.state")) studySoon();
  return undefined;
}

let reports = null;

// An event tells of a report's last step only: the steps between are asked for, at most once in so long.
function reportsSoon() {
  reports = reports || setTimeout(async () => {
    reports = null;
    try {
      await readTrial();
      await Promise.all([blocks.curve.load(trial, study), blocks.log.reported()]);
    } catch (error) {
      explain(error);
    }
  }, REPORTS_MS);
}

// --- keys ---

onKey("[", "the trial before", () => near.before && (location.href = `/trials/${encodeURIComponent(near.before.id)}`));
onKey("]", "the trial after", () => near.after && (location.href = `/trials/${encodeURIComponent(near.after.id)}`));
onKey("l", "to the log", () => {
  part("log").scrollIntoView({ block: "start" });
  (part("log").querySelector("pre:not([hidden])") || part("log").querySelector("button:not([hidden])"))?.focus({ preventScroll: true });
});
onKey("c", "copy the curl command", () => copy(curlOf(path), "the curl command"));

// --- start ---

function build() {
  blocks = { curve: new Curve(), parameters: parametersPanel(), why: whyPanel(), attempts: attemptsPanel(), log: new Log(), note: new Note({ mayWrite: isWriter, onSaved: () => readTrial().catch(explain) }) };
  part("blocks").replaceChildren(...["curve", "parameters", "why", "note", "attempts", "log"].map((name) => blocks[name].element));
  part("actions").replaceChildren(buttons.cancel, buttons.retry, buttons.enqueue, clone, buttons.copy);
}

async function show() {
  isWriter = await mayWrite();
  if (blocks === null) build();
  await readTrial();
  await readStudy();
  await readNeighbours();
  draw();
  allIsWell();
  await Promise.all([blocks.curve.load(trial, study), blocks.log.load(trial)]);
}

setInterval(() => trial && !trial.ended_at && trial.started_at && showResult(trial, study), TICK_MS);

onEvents((events) => trial && events.some((event) => event.kind === "reset" || event.study_id === trial.study_id) && take(events.filter((event) => event.kind === "reset" || event.study_id === trial.study_id)).catch(explain));
for (;;) {
  try {
    await start();
    await show();
    break;
  } catch (error) {
    await explain(error, { of: "page" });
  }
}
