// Builds elements from text only: nothing that a user named is ever read as HTML.

import { serverNow } from "./api.js";
import { ago, moment, number, words } from "./format.js";

export const part = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

// Replaces what is inside only where it differs, so that focus, hover and selection survive an update. What stays
// keeps its listeners: they should look things up when they are called. The children have to be new ones: an element
// that stands in the page already would be taken out first, and lose its focus.
export function fill(node, ...children) {
  const wanted = [...el("div", {}, ...children).childNodes];
  const there = [...node.childNodes];
  wanted.forEach((child, k) => {
    if (k >= there.length) node.append(child);
    else if (!there[k].isEqualNode(child)) there[k].replaceWith(child);
  });
  for (const child of there.slice(wanted.length)) child.remove();
}

// As `fill`, all the way down: elements of the same kind at the same place stay, and take attributes, texts and
// children over. Their listeners stay too.
export function morph(node, made) {
  for (const { name } of [...node.attributes]) if (!made.hasAttribute(name)) node.removeAttribute(name);
  for (const { name, value } of made.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  const wanted = [...made.childNodes];
  const there = [...node.childNodes];
  wanted.forEach((child, k) => {
    const old = there[k];
    if (!old) node.append(child);
    else if (old.isEqualNode(child)) return;
    else if (old instanceof Element && child instanceof Element && old.tagName === child.tagName) morph(old, child);
    else old.replaceWith(child);
  });
  for (const child of there.slice(wanted.length)) child.remove();
}

// A name that a user chose: its direction and length must not disturb what stands around it.
export const named = (text) => el("bdi", { class: "name" }, text);

const GLYPHS = {
  pending: "○", running: "▷", active: "▷", paused: "‖", stopping: "‖", completed: "●", stopped: "◐", infeasible: "◇", failed: "✕", cancelled: "–",
};

// A state by hue, glyph and word.
export const stateBadge = (state) =>
  el("span", { class: `state state-${state}` }, el("span", { "aria-hidden": true }, GLYPHS[state] || "○"), ` ${words(state)}`);

// A time that says how long ago it was, and keeps saying it; exact on hover.
export function timeAgo(iso) {
  if (!iso) return el("span", {}, "-");
  const at = Date.parse(iso);
  return el("time", { datetime: iso, title: moment(at), "data-ago": at }, ago(at, serverNow()));
}

setInterval(() => {
  for (const node of document.querySelectorAll("time[data-ago]")) {
    const text = ago(Number(node.dataset.ago), serverNow());
    if (node.textContent !== text) node.textContent = text;
  }
}, 5_000);

// A value: short to read, all digits on hover.
export const shown = (value) => el("span", typeof value === "number" ? { title: String(value) } : {}, number(value));

// One polite announcement for those who listen; at most one in ten seconds unless it answers what they did.
let announcedAt = 0;
export function announce(text, { now = false } = {}) {
  if (!now && Date.now() - announcedAt < 10_000) return;
  announcedAt = Date.now();
  part("announcer").textContent = text;
}

// A short message at the foot of the page, with something to do about it, e.g. "Undo".
export function toast(text, action = null, run = null) {
  const box = el("div", { class: "toast", role: "status" }, el("span", {}, text));
  const gone = () => box.remove();
  if (action) box.append(el("button", { type: "button", onclick: () => (gone(), run()) }, action));
  box.append(el("button", { type: "button", class: "quiet", "aria-label": "Dismiss", onclick: gone }, "×"));
  part("toasts").append(box);
  setTimeout(gone, action ? 20_000 : 6_000);
}

// Opens a dialog. When it closes it is taken away, and the focus is where it was: on the button that opened it, or on
// the menu that the button stood in.
// onLeft: called when the reader leaves it, maybe twice. The event `close` alone is too late to go by: it comes when the
// button has the focus again, and a key pressed until then would find the button busy. `cancel`, which comes before,
// may be left out by the browser.
export function openModal(dialog, onLeft = () => {}) {
  const opener = document.activeElement;
  dialog.addEventListener("cancel", ({ target }) => target === dialog && onLeft());
  dialog.addEventListener("close", () => {
    onLeft();
    dialog.remove();
    const isThere = opener?.isConnected && opener.checkVisibility();
    if (document.activeElement === document.body) (isThere ? opener : opener?.closest("details")?.querySelector("summary"))?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

// Changes what is in a box. What had the focus keeps it, also where it is put in anew; where it goes, the focus is on the
// first that is left.
export function keepingFocus(box, change) {
  const had = box.contains(document.activeElement) ? document.activeElement : null;
  change();
  if (!had) return;
  const left = had.checkVisibility() ? had : [...box.querySelectorAll("button, a[href], summary")].find((each) => each.checkVisibility());
  if (document.activeElement !== left) left?.focus({ preventScroll: true });
}

// A question before what cannot be taken back. Resolves to whether to go on; the focus starts on keeping.
export function ask(title, text, go, keep = "Keep") {
  return new Promise((resolve) => {
    const keeper = el("button", { type: "submit", autofocus: true }, keep);
    const goer = el("button", { type: "submit", class: "danger" }, go);
    const form = el("form", { method: "dialog" }, el("h2", {}, title), el("p", {}, text), el("div", { class: "actions" }, keeper, goer));
    const dialog = el("dialog", { "aria-label": title }, form);
    form.addEventListener("submit", ({ submitter }) => resolve(submitter === goer));
    openModal(dialog, () => resolve(false));
  });
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied ${what}.`);
  } catch {
    // No secure context, or the reader said no: show it to be copied by hand.
    const box = el("textarea", { rows: 8, readonly: true, "aria-label": what }, text);
    const dialog = el("dialog", {}, el("form", { method: "dialog" }, el("h2", {}, `Copy ${what}`), box, el("div", { class: "actions" }, el("button", {}, "Close"))));
    openModal(dialog);
    box.select();
  }
}
