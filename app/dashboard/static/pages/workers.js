// The workers: which one is stuck, full or idle.

import { get, send, serverNow } from "../lib/api.js";
import { announce, ask, copy, el, fill, morph, part, toast } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { onKey } from "../lib/keys.js";
import { held, onEvents } from "../lib/live.js";
import { atMostEach, open, reader } from "../lib/page.js";
import { explain, isAdmin } from "../lib/session.js";
import { card, standing } from "./workers/card.js";

const EACH_MS = 5_000; // no event tells of a beat
const LIVE_MS = 1_000;
const MOST = 1_000;

let workers = [];
let actions = null;

async function read() {
  const found = await get("/v1/workers", { page_size: MOST });
  workers = found.workers;
  actions = (await isAdmin()) ? { drain, resume, remove } : null;
  show();
}

const refresh = reader(read);

function show() {
  const now = serverNow();
  const byName = [...workers].sort((a, b) => a.name.localeCompare(b.name));
  const gone = byName.filter((worker) => standing(worker, now) === "gone");
  const here = byName.filter((worker) => !gone.includes(worker));
  part("loading").hidden = true;
  part("empty").hidden = here.length > 0;
  if (!here.length) showEmpty(gone.length);
  place(part("workers"), here, now);
  place(part("gone-workers"), gone, now);
  part("gone").hidden = !gone.length;
  part("gone-title").textContent = `Drained and gone: ${gone.length}`;
  const told = summary(here, now);
  if (part("told").textContent !== told) part("told").textContent = told;
}

// A card stays where it is, so that focus stays on its buttons and links.
function place(box, list, now) {
  const there = new Map([...box.children].map((node) => [node.dataset.id, node]));
  list.forEach((worker, k) => {
    const made = card(worker, now, actions);
    let node = there.get(worker.id);
    if (!node) node = made;
    else morph(node, made);
    if (box.children[k] !== node) box.insertBefore(node, box.children[k] || null);
    there.delete(worker.id);
  });
  for (const node of there.values()) node.remove();
}

function summary(here, now) {
  const n = (state) => here.filter((worker) => standing(worker, now) === state).length;
  const said = [`${n("beating")} beating`];
  if (n("draining")) said.push(`${n("draining")} draining`);
  if (n("silent")) said.push(`${n("silent")} silent`);
  const busy = here.reduce((sum, worker) => sum + worker.leases.length, 0);
  const slots = here.reduce((sum, worker) => sum + worker.slots, 0);
  return here.length ? `${said.join(", ")}; ${busy} of ${plural(slots, "slot")} busy` : "";
}

// A token is taken from TUNEWELL_TOKEN: on a command line every user of the machine could read it.
const command = () => `tunewell worker run --url ${location.origin}`;

function showEmpty(nGone) {
  fill(part("empty"),
    el("h2", {}, nGone ? "No worker is there now" : "No worker has registered yet"),
    el("p", {}, "Trials of studies with an objective wait until a worker takes them. On a machine that reaches this service, with a worker's token in TUNEWELL_TOKEN if the service asks for tokens:"),
    el("pre", {}, command()),
    el("div", { class: "actions" }, el("button", { type: "button", class: "primary", onclick: () => copy(command(), "the command") }, "Copy the command")));
}

const nameOf = (id) => workers.find((worker) => worker.id === id)?.name || id;
const heldBy = (id) => workers.find((worker) => worker.id === id)?.leases.length || 0;
const pathOf = (id) => `/v1/workers/${encodeURIComponent(id)}`;

async function drain(id) {
  const n = heldBy(id);
  const text = n ? `It takes no new trials; the ${plural(n, "trial")} running on it may end.` : "It takes no new trials. Nothing runs on it now.";
  if (await ask(`Drain ${nameOf(id)}?`, text, "Drain", "Keep it working")) await change(() => send("PATCH", pathOf(id), { draining: true }), `${nameOf(id)} takes no more trials.`, "Undo", () => resume(id));
}

const resume = (id) => change(() => send("PATCH", pathOf(id), { draining: false }), `${nameOf(id)} takes trials again.`);

async function remove(id) {
  const n = heldBy(id);
  const text = n ? `Its leases end now and its ${plural(n, "trial")} ${n === 1 ? "goes" : "go"} back to pending.` : "It is forgotten. Started again it comes back by itself.";
  if (await ask(`Remove ${nameOf(id)}?`, text, "Remove")) await change(() => send("DELETE", pathOf(id)), `${nameOf(id)} is removed.`);
}

let isBusy = false;

async function change(call, told, ...undo) {
  if (isBusy) return;
  isBusy = true;
  try {
    await call();
    toast(told, ...undo);
    announce(told, { now: true });
  } catch (error) {
    if (error.status === 404) toast("That worker is gone already.");
    else await explain(error);
  } finally {
    isBusy = false;
  }
  await refresh();
}

part("more").addEventListener("click", () => copy(command(), "the command"));
onKey("c", "copy the command for one more worker", () => copy(command(), "the command"));
const live = atMostEach(LIVE_MS, refresh);
onEvents((events) => events.some((event) => event.kind === "trial.state" || event.kind === "reset") && live());
setInterval(() => document.hidden || held() || refresh(), EACH_MS);
await open(refresh);
