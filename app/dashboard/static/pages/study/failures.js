// What breaks, and where: failures that are alike, together, with their tracebacks.

import { getFresh } from "../../lib/api.js";
import { el, fill, named, timeAgo } from "../../lib/dom.js";
import { plural, words } from "../../lib/format.js";
import { said } from "../../lib/session.js";
import { trialLink } from "./links.js";

const LATE_MS = 3_000;
const NEXT = {
  oom: "Ask for more memory in the study's resources, or take large sizes out of the space.",
  timeout: "Raise max_trial_duration_s, or take slow points out of the space.",
  nan: "The value was no finite number: look at the curve before that step; a smaller learning rate often helps.",
  infrastructure: "The worker or its machine went away: see the page of workers.",
  preempted: "The machine was taken away; the trial goes on elsewhere.",
  user_error: "The objective raised an error: its traceback says where.",
};

class Failures {
  constructor(context) {
    this.context = context;
    this.data = null;
    this.timer = null;
    this.message = el("p", { class: "nothing", role: "note" }, "Loading...");
    this.list = el("div", { class: "failures" });
    this.caption = el("p", { class: "small caption" });
    this.panel = el("section", { class: "panel wide", "aria-labelledby": "failures-title", "aria-busy": true },
      el("div", { class: "panel-head" }, el("h2", { id: "failures-title" }, "Failures, grouped by kind and cause")), this.message, this.list, this.caption);
    this.element = el("div", { class: "grid" }, this.panel);
  }

  async show() {
    try {
      const data = await getFresh(`${this.context.base}/analysis/failures`);
      if (data !== this.data) this.draw(data);
      this.data = data;
    } catch (error) {
      this.fail(error);
    }
    this.panel.setAttribute("aria-busy", "false");
  }

  fail(error) {
    this.list.hidden = true;
    this.message.hidden = false;
    const id = error.requestId ? el("span", { class: "small" }, ` Request id: ${error.requestId}`) : null;
    fill(this.message, `The failures could not be read: ${said(error)}`, id, " ", el("button", { type: "button", onclick: () => this.show() }, "Try again"));
  }

  draw(data) {
    const { columns } = data;
    const n = columns.kind.length;
    this.list.hidden = n === 0;
    this.message.hidden = n > 0;
    if (n === 0) fill(this.message, "Nothing has failed. A failed attempt would stand here with its message and traceback, together with those like it.");
    const total = columns.n.reduce((sum, each) => sum + each, 0);
    const share = data.n_total ? `; ${data.n_used} of ${plural(data.n_total, "trial")} had one` : "";
    const rule = data.sampling === "all" ? "" : ', by rule "the largest"';
    this.caption.textContent = n ? `${plural(n, "group")} shown${rule}: ${plural(total, "failed attempt")}${share}` : "";
    const open = new Set([...this.list.querySelectorAll("details[open]")].map((node) => node.dataset.print));
    fill(this.list, ...columns.kind.map((_, k) => this.group(columns, k, open)));
  }

  group(columns, k, open) {
    const print = columns.fingerprint[k];
    const kind = columns.kind[k];
    const workers = Object.entries(columns.holders[k]).map(([name, n]) => el("span", { class: "where" }, named(name || "a client without a name"), n > 1 ? ` ${n}×` : ""));
    const numbers = columns.numbers[k];
    const more = columns.n[k] > numbers.length ? el("span", { class: "soft" }, ` the latest ${numbers.length}`) : null;
    const trace = columns.traceback[k];
    return el("article", { class: "failure-group", "aria-label": `${words(kind)}, ${columns.n[k]} times` },
      el("div", { class: "failure-head" }, el("span", { class: "state state-failed" }, el("span", { "aria-hidden": true }, "✕"), ` ${words(kind)}`), el("strong", { class: "count" }, `${columns.n[k]}×`), el("span", { class: "name message" }, columns.message[k] || "without a message")),
      el("p", { class: "small" }, "first ", timeAgo(columns.first_at[k]), ", last ", timeAgo(columns.last_at[k]), "; on ", ...workers.flatMap((each, at) => (at ? [", ", each] : [each]))),
      el("p", { class: "numbers" }, "Trials ", ...numbers.map((number) => trialLink(this.context, number)), more),
      NEXT[kind] ? el("p", { class: "small" }, NEXT[kind]) : null,
      trace ? el("details", { "data-print": print, open: open.has(print) }, el("summary", {}, "Traceback of the latest"), el("pre", { class: "trace", tabindex: 0, role: "region", "aria-label": "Traceback" }, trace)) : el("p", { class: "small" }, "No traceback was sent."));
  }

  update(events) {
    if (!events.some((event) => event.kind === "reset" || event.kind === "trial.state")) return;
    this.timer = this.timer || setTimeout(() => {
      this.timer = null;
      this.show();
    }, LATE_MS);
  }

  leave() {
    clearTimeout(this.timer);
    this.timer = null;
  }
}

export const tab = (context) => new Failures(context);
