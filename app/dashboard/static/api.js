// Calls of the API: under the browser's session (a cookie that no script can read), with failures that name
// their request id, and event streams by fetch (EventSource tells no status).

const SESSION = "/v1/session";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.requestId = problem.request_id || null;
  }
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
  const response = await fetch(query ? `${path}?${query}` : path, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!response.ok) throw await refused(response);
  return response.json();
}

// A write. The session's cookie alone does not allow one: its CSRF token has to come along.
export async function send(method, path, body) {
  const { csrf_token: csrf } = await get(SESSION);
  const headers = { Accept: "application/json" };
  if (csrf) headers["X-CSRF-Token"] = csrf;
  return write(method, path, headers, body);
}

async function write(method, path, headers, body) {
  const sent = body === undefined ? { method, headers } : { method, headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, { ...sent, cache: "no-store" });
  if (!response.ok) throw await refused(response);
  return response.status === 204 ? null : response.json();
}

// Yields {event, id, data} until the stream ends; the caller comes back with the last id.
export async function* events(path, after) {
  const response = await fetch(`${path}?after=${encodeURIComponent(after)}`, {
    headers: { Accept: "text/event-stream" },
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

// Shows the form until a token was taken; the token itself is kept nowhere.
async function signIn() {
  part("sign-out").hidden = true;
  part("sign-in").hidden = false;
  part("token").focus();
  for (;;) {
    await submitted(part("sign-in-form"));
    try {
      await write("PUT", SESSION, {}, { token: part("token").value.trim() });
      break;
    } catch (error) {
      part("sign-in-problem").textContent = error instanceof ApiError ? error.message : `The service cannot be reached (${error.message}).`;
    } finally {
      part("token").value = "";
    }
  }
  part("sign-in-problem").textContent = "";
  part("sign-in").hidden = true;
  await offerSignOut();
}

const submitted = (form) =>
  new Promise((resolve) => {
    const taken = (event) => {
      event.preventDefault();
      resolve();
    };
    form.addEventListener("submit", taken, { once: true });
  });

async function offerSignOut() {
  try {
    part("sign-out").hidden = !(await get(SESSION)).csrf_token;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // nobody is signed in: the page itself says so
  }
}

part("sign-out").addEventListener("click", async () => {
  try {
    await send("DELETE", SESSION);
  } catch (error) {
    if (error.status !== 401) throw error; // over already
  }
  location.reload();
});

offerSignOut().catch(() => live("not connected", false));
