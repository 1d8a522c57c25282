// What one may do to a study: pause, resume, stop, cancel, edit its limits, enqueue a point, clone, delete. Only what
// its state allows is offered, and only to a role that may.

import { ApiError, get, getFresh } from "../../lib/api.js";
import { ask, el, keepingFocus, toast } from "../../lib/dom.js";
import { guarded, menu, tagOf, writer } from "../../lib/forms.js";
import { plural, words } from "../../lib/format.js";
import { onEvents } from "../../lib/live.js";
import { explain, said } from "../../lib/session.js";
import { enqueue } from "./enqueue.js";
import { editLimits } from "./limits.js";

const OPEN = ["active", "paused"];
const ALIVE = [...OPEN, "stopping"];

// What differs between two readings of a study, as sentences; for whoever is told 412.
export function differences(before, now) {
  const found = [];
  if (now.state !== before.state) found.push(`It is ${now.state} now, it was ${before.state}.`);
  const [old, fresh] = [before.definition.limits, now.definition.limits];
  for (const name of Object.keys(fresh)) {
    if (JSON.stringify(fresh[name]) !== JSON.stringify(old[name])) found.push(`${words(name)} is ${told(fresh[name])} now, it was ${told(old[name])}.`);
  }
  for (const name of ["priority", "description", "labels"]) if (JSON.stringify(now[name]) !== JSON.stringify(before[name])) found.push(`Its ${name} changed.`);
  return found.join(" ") || "Look at it anew.";
}

const told = (value) => (value === null ? "without a limit" : typeof value === "object" ? JSON.stringify(value) : String(value));

class Actions {
  constructor(context) {
    this.context = context;
    this.write = writer();
    this.deleted = null;
    const item = (label, run, className = null) => guarded(el("button", { type: "button", class: className }, label), run);
    this.pause = item("Pause", () => this.act("pause", "Paused. Trials that run go on to their end."));
    this.resume = item("Resume", () => this.act("resume", "The study goes on."), "primary");
    this.stop = item("Stop", () => this.askStop());
    this.limits = item("Edit limits", () => this.edit());
    this.enqueue = item("Enqueue a point", () => enqueue(this.study()));
    this.cancel = item("Cancel study", () => this.askCancel(), "danger");
    this.remove = item("Delete study", () => this.askDelete(), "danger");
    this.undo = item("Undo delete", () => this.undelete(), "primary");
    this.clone = el("a", { class: "button", href: `/new?from=${encodeURIComponent(context.id)}` }, "Clone study");
    this.more = menu("More", this.limits, this.enqueue, this.clone, this.cancel, this.remove);
    this.gone = el("span", { class: "soft" }, "Deleted. ");
    this.element = el("div", { class: "actions-line", role: "group", "aria-label": "Actions" }, this.pause, this.resume, this.stop, this.more, this.gone, this.undo);
    onEvents((events) => events.some((event) => event.kind === "reset" || event.kind === "study.state") && this.read().catch(explain), { study: context.id });
    this.show();
  }

  study() {
    return this.latest && this.latest.change_seq >= this.context.study().change_seq ? this.latest : this.context.study();
  }

  async read() {
    if (this.deleted) return;
    this.latest = await getFresh(this.context.base);
    this.show();
  }

  show() {
    keepingFocus(this.element, () => this.offer());
  }

  offer() {
    const { state } = this.study();
    const isGone = this.deleted !== null;
    this.pause.hidden = isGone || state !== "active";
    this.resume.hidden = isGone || !["paused", "completed"].includes(state);
    this.resume.classList.toggle("primary", state === "paused");
    this.stop.hidden = isGone || !OPEN.includes(state);
    this.enqueue.hidden = !OPEN.includes(state);
    this.cancel.hidden = !ALIVE.includes(state);
    this.more.hidden = isGone;
    this.gone.hidden = !isGone;
    this.undo.hidden = !isGone;
  }

  // A write, then the page anew. What somebody else did meanwhile is told, not overwritten.
  async act(verb, done) {
    const before = this.study();
    try {
      this.latest = await this.write("POST", `${this.context.base}:${verb}`, undefined, { match: tagOf(before) });
      toast(done);
    } catch (error) {
      await this.tell(error, before);
    }
    this.show();
    await this.context.refresh().catch(explain);
  }

  async tell(error, before) {
    if (!(error instanceof ApiError)) return toast(said(error));
    if (error.status === 412) {
      this.latest = await get(this.context.base);
      return toast(`Nothing was done: somebody changed the study meanwhile. ${differences(before, this.latest)}`);
    }
    if (error.code === "illegal-transition") this.latest = await get(this.context.base);
    return toast(error.message);
  }

  counts() {
    const { running = 0, pending = 0, paused = 0 } = this.study().trial_counts;
    return { running, waiting: pending + paused };
  }

  async askStop() {
    const { running, waiting } = this.counts();
    const rest = waiting ? ` ${plural(waiting, "waiting trial")} will not be run.` : "";
    const text = `No new trials; ${running ? `${running} running may end` : "none is running"}.${rest}`;
    if (await ask("Stop this study?", text, "Stop study", "Keep going")) await this.act("stop", "The study stops.");
  }

  async askCancel() {
    const { running, waiting } = this.counts();
    const text = `${running ? `This ends ${plural(running, "running trial")} now, and what they trained is lost.` : "No trial is running."}${waiting ? ` ${plural(waiting, "waiting trial")} will not be run.` : ""} A cancelled study cannot go on.`;
    if (await ask("Cancel this study?", text, "Cancel study", "Keep it")) await this.act("cancel", "The study is cancelled.");
  }

  async askDelete() {
    const { running } = this.counts();
    if (running && ALIVE.includes(this.study().state) && !(await ask("Delete this study?", `${plural(running, "trial")} of it ${running === 1 ? "runs" : "run"} now. Workers give up what they train for a deleted study.`, "Delete study", "Keep it"))) return;
    try {
      this.context.isDeleted = true;
      this.deleted = await this.write("DELETE", this.context.base, undefined, { match: tagOf(this.study()) });
      this.deleted = this.deleted || {};
      const until = this.deleted.purge_at ? ` It can be brought back until ${new Date(this.deleted.purge_at).toLocaleDateString()}.` : "";
      toast(`The study is deleted.${until}`, "Undo", () => this.undelete().catch(explain));
    } catch (error) {
      this.context.isDeleted = false;
      await this.tell(error, this.study());
    }
    this.show();
  }

  async undelete() {
    if (!this.deleted) return;
    try {
      this.latest = await this.write("POST", `${this.context.base}:undelete`, undefined);
      this.deleted = null;
      this.context.isDeleted = false;
      toast("The study is back.");
    } catch (error) {
      toast(said(error));
    }
    this.show();
    await this.context.refresh().catch(explain);
  }

  async edit() {
    const changed = await editLimits(this.context.base, this.study(), differences);
    if (!changed) return;
    this.latest = changed;
    this.show();
    toast("The limits are changed.");
    await this.context.refresh().catch(explain);
  }
}

export const actions = (context) => (context.mayWrite ? new Actions(context).element : el("div"));
