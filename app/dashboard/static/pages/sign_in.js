// Signing in, and back to where one came from.

import { el, fill, part } from "../lib/dom.js";
import { moment } from "../lib/format.js";
import "../lib/keys.js";
import { ownPath } from "../lib/paths.js";
import { explain, session } from "../lib/session.js";
import * as view from "../lib/view.js";

const next = ownPath(view.read("next"));
let isNew = false;
part("onward").href = next;
part("live").hidden = true; // nothing here is followed
for (;;) {
  try {
    const { role, csrf_token: csrf, expires_at: until } = await session();
    if (isNew) location.replace(next);
    show(role, csrf, until);
    break;
  } catch (error) {
    await explain(error);
    isNew = error.status === 401;
  }
}

function show(role, csrf, until) {
  part("signed-in").hidden = false;
  if (csrf) return fill(part("signed-in-text"), `This browser is signed in as ${role}, until `, el("time", { datetime: until }, moment(Date.parse(until))), ".");
  part("signed-in-title").textContent = "No token is needed";
  fill(part("signed-in-text"), "This service has no token yet and answers to this machine only. ", el("code", {}, "tunewell token create --role admin --name me"), " makes the first one; from then on everybody signs in.");
}
