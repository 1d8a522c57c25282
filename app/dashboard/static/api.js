// Calls of the API: with the tab's token, with failures that name their request id, and event streams by
// fetch (EventSource can send no Authorization header).

const KEY = "tunewell-token";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.requestId = problem.request_id || null;
  }
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function refused(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    problem = { detail: `the service answered ${response.status}` };
  }
  problem.request_id = problem.request_id || response.headers.get("X-Request-ID");
  return new ApiError(response.status, problem);
}

export async function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(query ? `${path}?${query}` : path, { headers: headers({ Accept: "application/json" }), cache: "no-store" });
  if (!response.ok) throw await refused(response);
  return response.json();
}

// Yields {event, id, data} until the stream ends; the caller comes back with the last id.
export async function* events(path, after) {
  const response = await fetch(`${path}?after=${encodeURIComponent(after)}`, {
    headers: headers({ Accept: "text/event-stream" }),
    cache: "no-store",
  });
  if (!response.ok) throw await refused(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const found = parse(block);
      if (found.data !== null) yield found;
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

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const part = (id) => document.getElementById(id);

export function live(text, isFine) {
  part("live").textContent = text;
  part("live").classList.toggle("is-fine", isFine);
}

// Shows what went wrong and resolves when the user has given a token, or asks to try again.
export function explain(error) {
  live("not connected", false);
  if (error.status === 401) return signIn();
  part("problem-text").textContent = error instanceof ApiError ? error.message : `The service cannot be reached (${error.message}).`;
  part("problem-id").textContent = error.requestId ? `Request id: ${error.requestId}` : "";
  part("problem").hidden = false;
  return new Promise((resolve) => {
    part("problem-again").addEventListener("click", resolve, { once: true });
    if (!(error instanceof ApiError) || error.status >= 500) setTimeout(resolve, 5000);
  });
}

export function allIsWell() {
  part("problem").hidden = true;
  part("sign-in").hidden = true;
}

function signIn() {
  sessionStorage.removeItem(KEY);
  part("sign-in").hidden = false;
  part("token").value = "";
  part("token").focus();
  return new Promise((resolve) => {
    part("sign-in-form").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        sessionStorage.setItem(KEY, part("token").value.trim());
        part("sign-in").hidden = true;
        resolve();
      },
      { once: true },
    );
  });
}
