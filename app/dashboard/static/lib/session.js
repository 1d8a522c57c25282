// Who looks at the page, what this role may do, and signing in. What went wrong is said in one place.

import { ApiError, get, SESSION, send, write } from "./api.js";

const part = (id) => document.getElementById(id);
const WRITERS = ["submitter", "admin"];

let who = null;
let wasSignedIn = false;

// Role and end of the session; asked once a page.
export async function session() {
  who = who || get(SESSION);
  try {
    const found = await who;
    wasSignedIn = Boolean(found.csrf_token);
    return found;
  } catch (error) {
    who = null;
    throw error;
  }
}

// Whether this reader may write studies and trials; the service decides anew at each call.
export async function mayWrite() {
  return WRITERS.includes((await session()).role);
}

export async function isAdmin() {
  return (await session()).role === "admin";
}

export const said = (error) => (error instanceof ApiError ? error.message : `The service cannot be reached (${error.message}).`);

// Shows what went wrong and resolves when the user has given a token, or asks to try again.
// of: "page" where it is the page's own subject that could not be read: where there is none, there is nothing else to show.
export function explain(error, { of = "part" } = {}) {
  if (error.status === 401) return signIn(error);
  part("main").hidden = of === "page" && error.status === 404;
  part("problem-text").textContent = sentence(said(error));
  part("problem-id").textContent = error.requestId ? `Request id: ${error.requestId}` : "";
  part("problem").hidden = false;
  return new Promise((resolve) => {
    part("problem-again").addEventListener("click", resolve, { once: true });
    if (!(error instanceof ApiError) || error.status >= 500) setTimeout(resolve, 5000);
  }).then(allIsWell);
}

export function allIsWell() {
  part("problem").hidden = true;
  part("main").hidden = false;
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?)]$/.test(text) ? "" : "."}`;

let signing = null;
const welcomes = new Set();

// Calls `told()` each time somebody has signed in: what was refused before can be read now.
export const onSignedIn = (told) => welcomes.add(told);

// Shows the form until a token was taken; the token itself is kept nowhere. One form for all who ask.
// error: the refusal that led here, if it should say why a session is over.
export function signIn(error = null) {
  signing = signing || asked(error).finally(() => (signing = null));
  return signing;
}

async function asked(error) {
  part("sign-in-problem").textContent = wasSignedIn ? `${error ? sentence(error.message) : "Your session is over."} Sign in again; what you typed stays.` : "";
  who = null;
  part("sign-out").hidden = true;
  part("sign-in").hidden = false;
  part("token").focus();
  for (;;) {
    await submitted(part("sign-in-form"));
    try {
      await write("PUT", SESSION, {}, { token: part("token").value.trim() });
      break;
    } catch (error) {
      part("sign-in-problem").textContent = sentence(said(error));
    } finally {
      part("token").value = "";
      part("token").focus();
    }
  }
  part("sign-in-problem").textContent = "";
  part("sign-in").hidden = true;
  await showWho();
  for (const told of welcomes) told();
}

const submitted = (form) =>
  new Promise((resolve) => {
    const taken = (event) => {
      event.preventDefault();
      resolve();
    };
    form.addEventListener("submit", taken, { once: true });
  });

async function showWho() {
  try {
    const { role, csrf_token: csrf } = await session();
    part("sign-out").hidden = !csrf;
    part("who").textContent = csrf ? role : "";
    document.documentElement.dataset.role = role;
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

showWho().catch(() => {}); // not reachable: what the page reads says so, with a way to try again
