// A note that people write on a trial. What is being typed is never overwritten; who came first is told.

import { ApiError, get } from "../../lib/api.js";
import { el, fill, toast } from "../../lib/dom.js";
import { guarded, tagOf, writer } from "../../lib/forms.js";
import { said } from "../../lib/session.js";

export class Note {
  // mayWrite: whether this role may; onSaved(trial).
  constructor({ mayWrite, onSaved }) {
    this.onSaved = onSaved;
    this.write = writer();
    this.saved = "";
    this.text = el("textarea", { rows: 3, maxlength: 10_000, "aria-labelledby": "note-title", placeholder: "What was odd about this trial? Others see it too." });
    this.fault = el("p", { class: "fault", role: "alert" });
    this.button = guarded(el("button", { type: "button" }, "Save note"), () => this.save());
    this.text.addEventListener("input", () => this.mark());
    this.read = el("p", { class: "note-text" });
    const body = mayWrite ? [this.text, this.fault, el("div", { class: "actions" }, this.button)] : [this.read];
    this.element = el("section", { class: "panel", id: "note", "aria-labelledby": "note-title" }, el("div", { class: "panel-head" }, el("h2", { id: "note-title" }, "Note")), ...body);
    addEventListener("beforeunload", (event) => this.isChanged() && event.preventDefault());
  }

  isChanged() {
    return this.text.isConnected && this.text.value !== this.saved;
  }

  mark() {
    if (document.activeElement === this.button && !this.isChanged()) this.text.focus();
    this.button.hidden = !this.isChanged();
  }

  show(trial) {
    const isTyped = this.isChanged();
    // What is typed stays one for the note that it was begun on: saving it meets a newer one, and tells it.
    if (!isTyped || trial.note === this.saved) [this.trial, this.saved] = [trial, trial.note];
    if (!isTyped) this.text.value = trial.note;
    fill(this.read, trial.note || "No note. Whoever may write can leave one here.");
    this.mark();
  }

  async save() {
    this.fault.textContent = "";
    try {
      const trial = await this.write("PATCH", `/v1/trials/${encodeURIComponent(this.trial.id)}`, { note: this.text.value }, { match: tagOf(this.trial) });
      this.saved = trial.note;
      this.mark();
      toast("The note is saved.");
      this.onSaved(trial);
    } catch (error) {
      this.fault.textContent = error instanceof ApiError && error.status === 412 ? await this.meanwhile() : said(error);
    }
  }

  // Somebody else changed the trial: tell what, keep what was typed, and let it be saved over theirs.
  async meanwhile() {
    const now = await get(`/v1/trials/${encodeURIComponent(this.trial.id)}`);
    const isNote = now.note !== this.saved;
    this.trial = now;
    this.saved = now.note;
    const theirs = now.note ? `The note is now: "${now.note.slice(0, 300)}".` : "The note was taken away.";
    return `${isNote ? `Somebody changed the note meanwhile. ${theirs}` : `The trial changed meanwhile: it is ${now.state}.`} Save again to keep yours.`;
  }
}
