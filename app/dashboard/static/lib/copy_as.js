// What is shown or about to be sent, as a line for a terminal or for Python. Never with a token in it.

export function curlOf(method, path, body) {
  const lines = [`curl -sS -X ${method} ${quoted(location.origin + path)}`, `  -H "Authorization: Bearer $TUNEWELL_TOKEN"`];
  if (body === undefined) return lines.join(" \\\n");
  lines.push(`  -H "Content-Type: application/json"`, "  --data-binary @- <<'END'");
  return `${lines.join(" \\\n")}\n${JSON.stringify(body, null, 2)}\nEND`;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A JSON value as Python writes it.
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

export const pythonOf = (call) => `import tunewell as tw\n\nclient = tw.connect("${location.origin}")\n${call}\n`;
