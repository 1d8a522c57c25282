// Dialogs with fields, and writes that cannot be made twice. Faults stand at the field that the service names by
// its pointer ("/trials/0/params/learning_rate"), whatever was typed is kept.

import { ApiError, newKey, send } from "./api.js";
import { el, fill, openModal } from "./dom.js";
import { said } from "./session.js";

// Somebody else was quicker: its message is shown as it is.
export class Meanwhile extends Error {}

// While `run` is under way the button takes no second click. It is not disabled: it would lose the focus.
export function guarded(button, run) {
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await run();
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return button;
}

// Sends writes under one Idempotency-Key as long as the same write is tried again without an answer.
export function writer() {
  const keys = new Map();
  return async (method, path, body, { match = null } = {}) => {
    const what = JSON.stringify([method, path, body, match]);
    if (!keys.has(what)) keys.set(what, newKey());
    const headers = { "Idempotency-Key": keys.get(what) };
    if (match) headers["If-Match"] = match;
    try {
      const answer = await send(method, path, body, headers);
      keys.delete(what);
      return answer;
    } catch (error) {
      if (error instanceof ApiError && error.status < 500) keys.delete(what);
      throw error;
    }
  };
}

// The tag of a study or a trial as it was read.
export const tagOf = ({ revision, change_seq: seq }) => `"${revision}.${seq}"`;

// A field: {name, label, control (an element), hint?, pointers (JSON pointers whose faults belong here)}.
export function field({ label, control, hint = "", pointers = [] }) {
  const id = control.id || `field-${newKey().slice(0, 8)}`;
  control.id = id;
  const fault = el("p", { class: "fault", id: `${id}-fault`, hidden: true });
  const told = hint ? el("small", { id: `${id}-hint` }, hint) : null;
  control.setAttribute("aria-describedby", [hint && `${id}-hint`, `${id}-fault`].filter(Boolean).join(" "));
  const row = el("div", { class: "field" }, el("label", { for: id }, label), control, told, fault);
  return { row, control, fault, pointers };
}

function showFaults(fields, general, error) {
  const rest = [];
  for (const each of fields) each.texts = [];
  for (const { pointer, detail } of error.errors || []) {
    const owner = fields.find((each) => each.pointers.some((known) => pointer === known || pointer.startsWith(`${known}/`)));
    if (owner) owner.texts.push(detail);
    else rest.push(detail);
  }
  for (const { control, fault, texts } of fields) {
    fault.textContent = texts.join(" ");
    fault.hidden = !texts.length;
    control.toggleAttribute("aria-invalid", false);
    if (texts.length) control.setAttribute("aria-invalid", "true");
  }
  const isPlaced = (error.errors || []).length > 0 && !rest.length;
  const lines = isPlaced ? [] : rest.length ? rest : [error instanceof Meanwhile ? error.message : said(error)];
  if (error.requestId && !isPlaced) lines.push(`Request id: ${error.requestId}`);
  fill(general, ...lines.map((line) => el("span", {}, line)));
  general.hidden = !lines.length;
  (fields.find(({ texts }) => texts.length)?.control || general).focus();
}

// A dialog with fields. `run()` sends; what it throws is shown at its field and the dialog stays open; what it
// returns closes the dialog. Resolves to that, or null where the reader left.
export function formDialog({ title, intro = null, fields, go, run, explain = null, className = "" }) {
  return new Promise((resolve) => {
    const general = el("p", { class: "fault faults", tabindex: -1, role: "alert", hidden: true });
    const sender = el("button", { type: "submit", class: "primary" }, go);
    const leave = el("button", { type: "button", onclick: () => end(null) }, "Leave as it is");
    const rows = fields.map((each) => each.row);
    const form = el("form", { novalidate: true }, el("h2", {}, title), intro, el("div", { class: "fields" }, ...rows), general, el("div", { class: "actions" }, sender, leave));
    const dialog = el("dialog", { "aria-label": title, class: className || null }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (sender.disabled) return;
      sender.disabled = true;
      try {
        end((await run()) ?? true);
      } catch (error) {
        const found = explain ? await explain(error) : null;
        showFaults(fields, general, found || error);
      } finally {
        sender.disabled = false;
      }
    });
    const end = (answer) => {
      dialog.close();
      resolve(answer);
    };
    openModal(dialog, () => resolve(null));
  });
}

// Buttons behind one word. Closed by Escape, a click elsewhere, or a choice.
export function menu(label, ...items) {
  const box = el("details", { class: "menu" }, el("summary", { class: "button" }, label), el("div", { class: "menu-items" }, ...items));
  const close = () => (box.open = false);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !box.open) return;
    event.stopPropagation();
    close();
    box.firstElementChild.focus();
  });
  box.addEventListener("click", (event) => event.target.closest(".menu-items button, .menu-items a") && close());
  addEventListener("pointerdown", (event) => box.open && !box.contains(event.target) && close());
  return box;
}
