// Calls of the API: under the browser's session (a cookie that no script can read), with failures that name
// their request id. Answers that have not changed are not sent again.

export const SESSION = "/v1/session";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.code = problem.code || null;
    this.errors = problem.errors || [];
    this.requestId = problem.request_id || null;
  }
}

// Nobody answered, or not to the end: the word about the connection says so already.
export class Unanswered extends Error {}

// What was asked of the network; all that it fails with of its own is a TypeError.
const answered = (promise) =>
  promise.catch((error) => {
    throw error instanceof TypeError ? new Unanswered(error.message) : error;
  });

export async function refused(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    problem = { detail: `the service answered ${response.status}` };
  }
  problem.request_id = problem.request_id || response.headers.get("X-Request-ID");
  return new ApiError(response.status, problem);
}

// A query of names and values; a list repeats its name, and what is null or undefined is left out.
function query(parameters) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") found.append(name, String(one));
    }
  }
  return found.toString();
}

export function address(path, parameters = {}) {
  const asked = query(parameters);
  return asked ? `${path}?${asked}` : path;
}

// The service's clock: times of its answers are told by it, also where the reader's own goes wrong.
let ahead = 0;
export const serverNow = () => Date.now() + ahead;

function noteClock(response) {
  const at = Date.parse(response.headers.get("Date") || "");
  if (Number.isNaN(at)) return;
  const off = at - Date.now();
  ahead = Math.abs(off) > 3_000 ? off : 0; // the header has whole seconds, and was under way
}

async function read(url, headers, signal) {
  const response = await answered(fetch(url, { headers: { Accept: "application/json", ...headers }, cache: "no-store", signal }));
  noteClock(response);
  if (response.ok || response.status === 304) return response;
  throw await refused(response);
}

export async function get(path, parameters = {}, { signal } = {}) {
  return answered((await read(address(path, parameters), {}, signal)).json());
}

const KEPT = 64;
const kept = new Map();

const early = globalThis.tunewellEarly || new Map();
let floor = 0;

// What was asked for before the page could tell (`pages/study/early.js`) counts only from this change on.
export function atLeast(changeSeq) {
  floor = changeSeq;
}

async function startedEarly(url) {
  const started = early.get(url);
  early.delete(url);
  const response = await started;
  if (!response?.ok) return null;
  const data = await answered(response.json());
  return data.change_seq >= floor ? { data, etag: response.headers.get("ETag") } : null;
}

// The same answer object as long as nothing has changed, so that `===` tells whether to draw anew.
export async function getFresh(path, parameters = {}, { signal } = {}) {
  const url = address(path, parameters);
  const found = early.has(url) ? await startedEarly(url) : null;
  if (found) return keep(url, found);
  const known = kept.get(url);
  const response = await read(url, known ? { "If-None-Match": known.etag } : {}, signal);
  if (response.status === 304) return known.data;
  return keep(url, { data: await answered(response.json()), etag: response.headers.get("ETag") });
}

function keep(url, found) {
  kept.delete(url);
  if (found.etag) kept.set(url, found);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return found.data;
}

// A write. The session's cookie alone does not allow one: its CSRF token has to come along.
export async function send(method, path, body, headers = {}) {
  const { csrf_token: csrf } = await get(SESSION);
  return write(method, path, csrf ? { ...headers, "X-CSRF-Token": csrf } : headers, body);
}

export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export async function write(method, path, headers, body) {
  const sent = { method, cache: "no-store", headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    sent.headers["Content-Type"] = "application/json";
    sent.body = JSON.stringify(body);
  }
  const response = await answered(fetch(path, sent));
  if (!response.ok) throw await refused(response);
  return response.status === 204 ? null : answered(response.json());
}

export const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
