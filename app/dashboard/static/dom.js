// Builds elements from text only: nothing that a user named is ever read as HTML.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

// A name that a user chose: its direction and length must not disturb what stands around it.
export const named = (text) => el("bdi", { class: "name" }, text);

export const stateBadge = (state) => el("span", { class: `state state-${state}` }, state);

export function shownNumber(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(5))) : value.toExponential(3);
}

export function shownDuration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "-";
  if (seconds < 1) return `${Math.round(Math.max(0, seconds) * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

// Trials that ended or hold a place, against the budget.
export function progress(study) {
  const counts = study.trial_counts;
  const ended = ["completed", "stopped", "infeasible"].reduce((n, s) => n + (counts[s] || 0), 0);
  const total = study.definition.limits ? study.definition.limits.max_trials : null;
  const label = total ? `${ended} of ${total}` : `${ended} trials`;
  const bar = el("progress", { max: total || 1, value: total ? Math.min(ended, total) : 0, "aria-label": label });
  return el("span", { class: "progress" }, ...(total ? [bar] : []), el("span", {}, label));
}
