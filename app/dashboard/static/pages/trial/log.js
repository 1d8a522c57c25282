// The tail of what a trial's process printed: followed while it runs, wrapped, downloaded.

import { getFresh } from "../../lib/api.js";
import { el, fill } from "../../lib/dom.js";
import { plural } from "../../lib/format.js";
import { held } from "../../lib/live.js";
import { said } from "../../lib/session.js";

const LINES = 200;
const TAIL_BYTES = 64 * 1024;
const FOLLOW_MS = 3_000;

const inBytes = (n) => (n < 1024 ? `${n} bytes` : n < 2 ** 20 ? `${Math.round(n / 1024)} KiB` : `${(n / 2 ** 20).toFixed(1)} MiB`);

export class Log {
  constructor() {
    this.path = null;
    this.shown = null; // the answer that stands in the page
    this.timer = null;
    this.isRunning = false;
    this.wrap = this.toggle("Wrap", true, () => this.text.classList.toggle("is-wrapped", this.isOn(this.wrap)));
    this.follow = this.toggle("Follow", true, () => this.tick());
    this.download = el("a", { class: "button", download: "" }, "Download");
    this.text = el("pre", { class: "log is-wrapped", tabindex: 0, role: "region", "aria-label": "Log" });
    this.note = el("p", { class: "small caption" });
    this.element = el("section", { class: "panel wide", id: "log", "aria-labelledby": "log-title" },
      el("div", { class: "panel-head" }, el("h2", { id: "log-title" }, "Log tail"), el("div", { class: "tools" }, this.follow, this.wrap, this.download)), this.text, this.note);
    // Whoever scrolls up wants to read: the text stays where it is until the end is reached again.
    this.text.addEventListener("scroll", () => (this.isAtEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 24));
    this.isAtEnd = true;
  }

  toggle(label, isOn, run) {
    const button = el("button", { type: "button", "aria-pressed": String(isOn) }, label);
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(!this.isOn(button)));
      run();
    });
    return button;
  }

  isOn(button) {
    return button.getAttribute("aria-pressed") === "true";
  }

  async load(trial) {
    this.path = `/v1/trials/${encodeURIComponent(trial.id)}/logs`;
    this.isRunning = trial.state === "running";
    this.state = trial.state;
    this.download.href = `${this.path}?format=text`;
    this.download.download = `trial-${trial.number}.log`;
    this.follow.hidden = !this.isRunning;
    await this.read();
    this.tick();
  }

  // Output comes without events of its own: it is read when the trial reports something, and asked for between; the
  // service sends none that is here already.
  tick() {
    clearTimeout(this.timer);
    if (!this.isRunning || !this.isOn(this.follow)) return;
    this.timer = setTimeout(async () => {
      if (!document.hidden && !held()) await this.read();
      this.tick();
    }, FOLLOW_MS);
  }

  // The trial has reported something: what it printed with it is likely there.
  reported() {
    if (this.isRunning && this.isOn(this.follow)) return this.read().then(() => this.tick());
    return undefined;
  }

  async read() {
    try {
      const found = await getFresh(this.path, { tail_bytes: TAIL_BYTES });
      const told = `${this.state} ${this.isRunning}`;
      if (found === this.shown && told === this.told) return;
      Object.assign(this, { shown: found, told });
      this.show(found);
    } catch (error) {
      this.note.textContent = `The log could not be read: ${said(error)}`;
    }
  }

  show({ parts, size_bytes: size }) {
    this.download.hidden = size === 0;
    this.text.hidden = size === 0;
    this.wrap.hidden = size === 0;
    if (size === 0) return this.say(this.nothing());
    const lines = parts.map(({ text }) => text).join("").replace(/\n$/, "").split("\n").map((line) => line.split("\r").at(-1));
    const shown = lines.slice(-LINES);
    const text = shown.join("\n");
    if (this.text.textContent !== text) {
      fill(this.text, text);
      if (this.isAtEnd) this.text.scrollTop = this.text.scrollHeight;
    }
    const isWhole = shown.length === lines.length && parts[0]?.offset === 0;
    return this.say(isWhole ? `${plural(shown.length, "line")}, all of ${inBytes(size)}` : `The last ${plural(shown.length, "line")} of ${inBytes(size)}; the download holds what is kept of it.`);
  }

  nothing() {
    if (this.state === "pending") return "Nothing is printed before the trial runs.";
    if (this.isRunning) return "Nothing is printed yet. Output of a trial that a worker runs appears here; one that a client runs prints on the client's own screen.";
    return "This trial printed nothing here: a worker sends the output of the trials it runs, a client keeps its own.";
  }

  say(text) {
    if (this.note.textContent !== text) this.note.textContent = text;
  }
}
