// The head of a study's page: what it is, how far it is, the best of it, and the switch that holds the view still.

import { get, Unanswered } from "../../lib/api.js";
import { announce, el, fill, named, part, shown, stateBadge } from "../../lib/dom.js";
import { number, plural, span } from "../../lib/format.js";
import { onKey } from "../../lib/keys.js";
import { held, hold } from "../../lib/live.js";
import { objectives } from "./common.js";

const LEFT_MS = 10_000;

export class Head {
  constructor(context) {
    this.context = context;
    this.summary = null;
    this.askedAt = 0;
    part("study-live").prepend(part("live"));
    part("hold").addEventListener("click", () => this.toggle());
    onKey("v", "pause the view, or go on", () => this.toggle());
  }

  toggle() {
    hold(!held());
    part("hold").setAttribute("aria-pressed", String(held()));
    part("hold").textContent = held() ? "Go on" : "Pause view";
  }

  show(study) {
    const title = `${study.name} - Tunewell`;
    if (document.title !== title) document.title = title;
    fill(part("name"), named(study.name));
    fill(part("state"), stateBadge(study.state));
    fill(part("counts"), ...this.counts(study));
    fill(part("labels"), ...Object.entries(study.labels).map(([key, value]) => el("span", { class: "label" }, named(`${key}=${value}`))));
    this.showBest(study);
    this.banner(study);
    if (study.state === "active" && Date.now() - this.askedAt > LEFT_MS) this.askTimeLeft(study);
  }

  counts(study) {
    const counts = study.trial_counts;
    const done = (counts.completed || 0) + (counts.stopped || 0) + (counts.infeasible || 0);
    const most = study.definition.limits.max_trials; // failed ones give their place back
    const unit = el("span", { class: "unit" }, most === 1 ? " trial" : " trials");
    const parts = [most === null ? el("span", {}, plural(done, "trial")) : el("span", {}, `${done} of ${most}`, unit)];
    if (counts.running) parts.push(el("span", {}, `${counts.running} running`));
    if (counts.paused) parts.push(el("span", { title: "At a rung of early stopping: they go on if they are among its best" }, `${counts.paused} paused`));
    if (counts.pending) parts.push(el("span", {}, `${counts.pending} pending`));
    if (counts.failed) parts.push(el("span", {}, `${counts.failed} failed`));
    const left = this.timeLeft(study);
    if (left) parts.push(el("span", { title: "At the rate of the last trials" }, `${left} left`));
    return parts;
  }

  timeLeft(study) {
    const { eta_low_s: low, eta_high_s: high, time_left_s: guess } = this.summary || {};
    const least = low ?? guess;
    return study.state !== "active" || least === null || least === undefined ? "" : span(least, high ?? least);
  }

  // Only the list of studies tells the rate; it is asked for this one.
  async askTimeLeft(study) {
    this.askedAt = Date.now();
    try {
      const { studies } = await get("/v1/studies", { view: "summary", name_prefix: study.name, page_size: 10 });
      this.summary = studies.find((each) => each.id === study.id)?.summary || null;
      fill(part("counts"), ...this.counts(this.context.study()));
    } catch (error) {
      if (!(error instanceof Unanswered)) console.warn("the time left could not be read:", error.message);
    }
  }

  showBest(study) {
    const aims = objectives(study.definition);
    if (aims.length > 1) return fill(part("best"), el("a", { href: "?tab=pareto" }, `${aims.length} objectives: see the Pareto front`));
    const { best } = study;
    if (!best) return fill(part("best"), el("span", { class: "soft" }, "no best value yet"));
    const [{ name }] = aims;
    const link = el("a", { href: `/trials/${encodeURIComponent(best.id)}` }, `trial ${best.number}`);
    return fill(part("best"), "best ", el("strong", {}, shown(best.values[name])), " ", named(name), ", ", link);
  }

  // News of a best value, before the study is read anew.
  best({ trial_id: trial, data }) {
    const study = this.context.study();
    const [{ name }] = objectives(study.definition);
    study.best = { ...study.best, id: trial, number: data.number, values: { ...study.best?.values, [name]: data.value } };
    announce(`New best: ${name} ${number(data.value)}, trial ${data.number}.`);
  }

  banner(study) {
    const texts = [study.stop_detail, study.pause_detail, ...study.warnings].filter(Boolean);
    if (study.deleted_at) texts.unshift("This study is deleted.");
    part("banner").hidden = !texts.length;
    const text = texts.map((each) => each.charAt(0).toUpperCase() + each.slice(1)).join(" ");
    if (part("banner").textContent !== text) part("banner").textContent = text;
  }
}
