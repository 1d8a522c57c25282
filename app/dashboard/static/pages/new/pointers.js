// Reading and writing a JSON value at a pointer (RFC 6901), as the service's faults name places.

const unescaped = (part) => part.replaceAll("~1", "/").replaceAll("~0", "~");
export const escaped = (part) => String(part).replaceAll("~", "~0").replaceAll("/", "~1");
const parts = (pointer) => pointer.split("/").slice(1).map(unescaped);

export function at(root, pointer) {
  return parts(pointer).reduce((value, part) => (value !== null && typeof value === "object" && Object.hasOwn(value, part) ? value[part] : undefined), root);
}

// Sets a value; undefined takes it out, and objects that are empty then too (not rows of a list).
export function put(root, pointer, value) {
  const path = parts(pointer);
  const last = path.pop();
  const holders = [root];
  for (const part of path) {
    const holder = holders.at(-1);
    if (holder[part] === null || typeof holder[part] !== "object" || !Object.hasOwn(holder, part)) {
      if (value === undefined) return;
      Object.defineProperty(holder, part, { value: {}, enumerable: true, configurable: true, writable: true });
    }
    holders.push(holder[part]);
  }
  if (value !== undefined) Object.defineProperty(holders.at(-1), last, { value, enumerable: true, configurable: true, writable: true });
  else {
    delete holders.at(-1)[last];
    for (let k = holders.length - 1; k > 0 && !Array.isArray(holders[k]) && !Array.isArray(holders[k - 1]) && !Object.keys(holders[k]).length; k -= 1) delete holders[k - 1][path[k - 1]];
  }
}

// Whether `pointer` stands at `place` or inside it.
export const isIn = (pointer, place) => pointer === place || pointer.startsWith(`${place}/`);
