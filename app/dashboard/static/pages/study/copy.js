// What is shown, as a call that anyone can make: curl, or a line of Python after `client = tunewell.connect()`. The
// token is never in it.

import { address } from "../../lib/api.js";

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

export function curl(path, asked) {
  const url = new URL(address(path, asked), location.origin).href;
  return `curl -sS --fail-with-body -H "Authorization: Bearer $TUNEWELL_TOKEN" ${quoted(url)}`;
}

// JSON strings are Python's too, but for what lies beyond the first plane and is written as it is.
const literal = (value) => (Array.isArray(value) ? `[${value.map(literal).join(", ")}]` : typeof value === "string" ? JSON.stringify(value) : String(value));

export function python(studyId, asked, most) {
  const given = Object.entries(asked).filter(([, value]) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length));
  const filters = given.map(([name, value]) => `, ${name}=${literal(value)}`).join("");
  return `from itertools import islice\n\ntrials = list(islice(client.trials(${literal(studyId)}${filters}), ${most}))`;
}
