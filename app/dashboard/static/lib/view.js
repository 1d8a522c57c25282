// The state of a view lives in the address: it can be shared, and the back button goes one view back.

const listeners = new Set();

// Reads one value; null where the address does not have it.
export const read = (name) => new URLSearchParams(location.search).get(name);

export const readAll = (name) => new URLSearchParams(location.search).getAll(name);

// Changes some values (null takes one out). `push` makes an entry of its own in the history: for a tab or a page,
// not for a brush.
export function change(values, { push = false } = {}) {
  const found = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    found.delete(name);
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined && one !== "") found.append(name, String(one));
  }
  const asked = found.toString();
  const target = asked ? `${location.pathname}?${asked}` : location.pathname;
  if (target === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", target);
  for (const listener of listeners) listener(Object.keys(values));
}

// Calls `told(names)` when the view has changed: names of what did, null after the back button.
export function onChange(told) {
  listeners.add(told);
  return () => listeners.delete(told);
}

addEventListener("popstate", () => {
  for (const listener of listeners) listener(null);
});

// Names in the address that this page does not know: they are ignored, with a note.
export const unknown = (known) => [...new Set(new URLSearchParams(location.search).keys())].filter((name) => !known.includes(name));
