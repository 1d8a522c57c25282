// What is shown, or about to be sent, as a call that anyone can make: by curl, or with the Python package. The token
// stands in neither: both read it from TUNEWELL_TOKEN.

import { address } from "./api.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function curlOf(path, { asked = {}, body } = {}) {
  const url = new URL(address(path, asked), location.origin).href;
  const start = `curl -sS --fail-with-body -H "Authorization: Bearer $TUNEWELL_TOKEN"`;
  if (body === undefined) return `${start} ${quoted(url)}`;
  return `${start} \\\n  -H "Content-Type: application/json" --data-binary @- ${quoted(url)} <<'END'\n${JSON.stringify(body, null, 2)}\nEND`;
}

// A script around one line that uses `client`.
export const pythonOf = (line) => `import tunewell as tw\n\nclient = tw.connect(${python(location.origin)})\n${line}\n`;

// A JSON value as Python writes it. JSON's strings are Python's too.
export function python(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const parts = Array.isArray(value) ? value.map((item) => python(item, inner)) : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, inner)}`);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const flat = `${open}${parts.join(", ")}${close}`;
  if (flat.length + indent.length < 90 && !flat.includes("\n")) return flat;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

// What was asked for as keyword arguments, each with a comma before it.
export function keywords(asked) {
  const isGiven = (value) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length);
  return Object.entries(asked).filter(([, value]) => isGiven(value)).map(([name, value]) => `, ${name}=${python(value)}`).join("");
}
