// Where definitions differ: one row a place, named by parameter and metric and not by their order.

const BY_NAME = ["space", "metrics"];
const LEFT_OUT = ["name"];

// Flat: path -> value. Lists of plain values are one value.
export function flat(definition) {
  const found = new Map();
  for (const [name, value] of Object.entries(definition)) if (!LEFT_OUT.includes(name)) walk(value, name, found);
  return found;
}

function walk(value, path, found) {
  const isList = Array.isArray(value);
  if (isList && BY_NAME.includes(path)) {
    value.forEach((item) => walk(item, `${path}.${item.name}`, found));
    found.set(`${path} (order)`, value.map((item) => item.name).join(", "));
  } else if (value !== null && typeof value === "object" && !isList) {
    for (const [name, inner] of Object.entries(value)) if (!(name === "name" && BY_NAME.some((list) => path.startsWith(`${list}.`)))) walk(inner, `${path}.${name}`, found);
  } else {
    found.set(path, value);
  }
}

// [[path, [value or undefined, one a definition]]] of the places where they are not all the same.
export function differences(definitions) {
  const all = definitions.map(flat);
  const paths = [...new Set(all.flatMap((each) => [...each.keys()]))];
  const rows = paths.map((path) => [path, all.map((each) => each.get(path))]);
  const differ = rows.filter(([, values]) => new Set(values.map((value) => JSON.stringify(value ?? null))).size > 1);
  // An order differs with every parameter that one has and the other has not; alone it says something.
  const isReal = ([path]) => !path.endsWith(" (order)") || !differ.some(([other]) => other !== path && other.startsWith(`${path.split(" ")[0]}.`));
  return differ.filter(isReal);
}

export const written = (value) => (value === undefined || value === null ? "-" : typeof value === "string" ? value : JSON.stringify(value));
