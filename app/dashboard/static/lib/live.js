// Events as they happen, one connection a browser: the tab that holds the lock reads the stream of all studies
// and passes it on to the others. A page asks for `start()` BEFORE it reads its data, so it misses nothing:
// what it is told twice it has to bear.

import { address, ApiError, get, pause, refused } from "./api.js";
import { onSignedIn, signIn } from "./session.js";

const FEED = "/v1/events";
const NAME = "tunewell:events";
const DEAD_MS = 35_000; // ticks come each 15 s
const HIDDEN_MS = 60_000;
const GATHER_MS = 250;
const QUIET_MS = 2_000; // so that a loss is said within 3 s
const LONGEST_MS = 30_000;

const channel = new BroadcastChannel(NAME);
const listeners = new Set();
let cursor = null;
let waiting = [];
let timer = null;
let lostAt = null;
let turn = null; // ends this tab's place in the line, or its reading
let isReading = false;
let isHeld = false; // the reader has paused the view

// Calls `told(events)` at most four times a second, in a frame. An event is {kind, study_id, trial_id, seq, data,
// occurred_at}; kind "reset" means: read everything anew.
export function onEvents(told, { study = null } = {}) {
  const wants = (event) => event.kind === "reset" || study === null || event.study_id === study;
  const listener = (events) => {
    const found = events.filter(wants);
    if (found.length) told(found);
  };
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export async function start() {
  if (cursor !== null) return;
  cursor = (await get(FEED)).next_after;
  channel.addEventListener("message", ({ data }) => heard(data));
  channel.postMessage({ hello: true });
  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (shown) => shown.persisted && lead());
  lead();
}

// The reader's own switch: nothing on the page moves until the view goes on.
export function hold(isOn) {
  isHeld = isOn;
  if (!isOn) gather([]);
  showState();
}

export const held = () => isHeld;

function heard(message) {
  if (message.hello && isReading) channel.postMessage({ lostAt });
  if (message.events) take(message.events, message.cursor);
  if ("lostAt" in message) setLost(message.lostAt);
}

function take(events, at) {
  cursor = at;
  gather(events);
}

// What came while nobody was signed in was refused to the page: it reads everything anew.
onSignedIn(() => cursor !== null && gather([{ kind: "reset" }]));

function gather(events) {
  for (const event of events) waiting.push(event);
  if (waiting.length > 5_000) waiting = [{ kind: "reset" }]; // too many to be worth applying one by one
  if (timer !== null || !waiting.length || isHeld) return;
  timer = setTimeout(() => {
    timer = null;
    requestAnimationFrame(tell);
  }, GATHER_MS);
}

function tell() {
  if (isHeld) return;
  const events = waiting;
  waiting = [];
  for (const listener of listeners) listener(events);
}

// Without a secure context there are no locks: each tab reads for itself.
function lead() {
  if (turn) return;
  const own = new AbortController();
  turn = own;
  const read = () => readOn(own.signal);
  const reading = navigator.locks ? navigator.locks.request(NAME, { signal: own.signal }, read) : read();
  reading
    .catch((error) => {
      if (error.name !== "AbortError") throw error; // it left the line
    })
    .finally(() => {
      if (turn === own) turn = null;
    });
}

function stop() {
  turn?.abort();
  turn = null;
}

async function readOn(signal) {
  isReading = true;
  let failures = 0;
  while (!signal.aborted) {
    try {
      await (failures >= 2 ? poll : stream)(signal, () => {
        failures = 0;
        publishLost(null);
      });
    } catch (error) {
      if (signal.aborted) break;
      publishLost(lostAt || Date.now());
      if (error instanceof ApiError && error.status === 401) {
        await signIn();
        failures = 0;
        continue;
      }
      failures += 1;
    }
    await pause(250 + Math.random() * Math.min(LONGEST_MS, 1000 * 2 ** Math.min(failures, 5)), signal);
  }
  isReading = false;
}

function publish(events, at) {
  channel.postMessage({ events, cursor: at });
  take(events, at);
}

function publishLost(at) {
  channel.postMessage({ lostAt: at });
  setLost(at);
}

async function stream(signal, isFine) {
  const own = new AbortController();
  signal.addEventListener("abort", () => own.abort(), { once: true });
  let watch = setTimeout(() => own.abort(), DEAD_MS);
  try {
    const headers = { Accept: "text/event-stream" };
    const response = await fetch(address(FEED, { after: cursor }), { headers, cache: "no-store", signal: own.signal });
    if (!response.ok) throw await refused(response);
    isFine();
    for await (const found of blocks(response.body)) {
      clearTimeout(watch);
      watch = setTimeout(() => own.abort(), DEAD_MS);
      const at = found.id === null ? cursor : found.id;
      if (found.event === "tick") cursor = at;
      else publish([found.event === "reset" ? { kind: "reset" } : found.data], at);
    }
  } finally {
    clearTimeout(watch);
  }
}

async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n\n");
    rest = found.pop();
    for (const block of found) {
      const parsed = parse(block);
      if (parsed.data !== null) yield parsed;
    }
  }
}

function parse(block) {
  const found = { event: "message", id: null, data: null };
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "data") data.push(value);
    else if (field in found) found[field] = value;
  }
  if (data.length) found.data = JSON.parse(data.join("\n"));
  return found;
}

// Where a proxy lets no stream through.
async function poll(signal, isFine) {
  for (let k = 0; k < 20 && !signal.aborted; k += 1) {
    const news = await get(FEED, { after: cursor, wait_s: 20 }, { signal });
    isFine();
    publish(news.reset ? [{ kind: "reset" }] : news.events, news.next_after);
  }
}

let hiddenTimer = null;

function onVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(stop, HIDDEN_MS);
  else lead();
}

function setLost(at) {
  lostAt = at;
  showState();
  if (at !== null) setTimeout(showState, QUIET_MS + 50);
}

function showState() {
  const box = document.getElementById("live");
  if (!box) return;
  const isLost = lostAt !== null && Date.now() - lostAt >= QUIET_MS - 100;
  const since = lostAt === null ? "" : new Date(lostAt).toLocaleTimeString();
  box.textContent = isHeld ? "view paused" : isLost ? `not live since ${since}` : cursor === null ? "connecting" : "live";
  box.classList.toggle("is-fine", !isHeld && !isLost && cursor !== null);
}
