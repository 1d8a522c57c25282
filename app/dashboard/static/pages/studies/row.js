// One study as a row of the list (a card on narrow screens). A row stays the same element as long as it is shown, and
// only cells that differ are drawn anew: the reader's focus and choice survive.

import { el, fill, named, shown, stateBadge, timeAgo } from "../../lib/dom.js";
import { plural, rate, span, words } from "../../lib/format.js";
import { sparkline } from "../../lib/spark.js";

const CELLS = [
  ["", "pick"], ["", "title"], ["State", ""], ["Progress", ""], ["Best", "num best"], ["Trend", "trend"],
  ["Running", "num"], ["Rate", "num"], ["Left", "num"], ["Changed", "num changed-at"],
];

export class Row {
  constructor(study, onChoose) {
    this.id = study.id;
    this.box = el("input", { type: "checkbox", "aria-label": `Choose ${study.name} to compare`, onchange: () => onChoose(this.id, this.box.checked) });
    this.cells = CELLS.map(([label, kind], k) => el(k === 1 ? "th" : "td", { class: kind || null, scope: k === 1 ? "row" : null, "data-label": label || null }));
    this.cells[0].append(el("label", { class: "pick-box" }, this.box));
    this.element = el("tr", { "data-id": study.id }, ...this.cells);
    this.update(study);
  }

  update(study) {
    const made = [titled(study), stateBadge(study.state), progress(study), best(study), trend(study), running(study), speed(study), left(study), timeAgo(study.updated_at)];
    made.forEach((content, k) => {
      const cell = this.cells[k + 1];
      fill(cell, ...[content].flat());
      cell.classList.toggle("is-none", cell.textContent === "-");
    });
  }

  get link() {
    return this.cells[1].querySelector("a");
  }

  set isChosen(value) {
    this.box.checked = value;
    this.element.classList.toggle("is-chosen", value);
  }
}

const studyPath = (study) => `/studies/${encodeURIComponent(study.id)}`;

function titled(study) {
  const labels = Object.entries(study.labels).map(([key, value]) => {
    const text = `${key}=${value}`;
    return el("a", { class: "label", href: `/?label=${encodeURIComponent(text)}`, title: `Studies with ${text}` }, el("bdi", {}, text));
  });
  const parts = [el("a", { href: studyPath(study), class: "study-link" }, named(study.name))];
  if (labels.length) parts.push(el("div", { class: "labels" }, ...labels));
  const trouble = troubleOf(study);
  if (trouble) parts.push(el("p", { class: "trouble" }, el("span", { "aria-hidden": true }, "! "), trouble));
  return parts;
}

// What a person should know before anything else, in a sentence.
function troubleOf(study) {
  if (study.pause_detail) return study.pause_detail;
  if (study.state === "failed") return study.stop_detail || "The study failed.";
  const { recent_failures: kindsOf, n_recent: nRecent, last_failures: last } = study.summary;
  const failures = Object.entries(kindsOf);
  const nFailed = failures.reduce((sum, [, n]) => sum + n, 0);
  const failed = study.trial_counts.failed || 0;
  if (failed > 1 && !study.trial_counts.completed && !study.trial_counts.stopped) return `All ${failed} trials that ended failed${last.length ? `; the last one: ${words(last[0].kind)}` : ""}`;
  if (!nFailed || (nFailed < 2 && nRecent > 4)) return "";
  const kinds = failures.map(([kind, n]) => (nFailed === n ? words(kind) : `${words(kind)} ${n}`));
  return `${nFailed} of the last ${nRecent} trials failed: ${kinds.join(", ")}`;
}

function progress(study) {
  const counts = study.trial_counts;
  const done = (counts.completed || 0) + (counts.stopped || 0) + (counts.infeasible || 0);
  const total = study.definition.limits.max_trials;
  if (!total) return el("span", { class: "progress" }, plural(done, "trial"));
  const text = `${done} of ${total}`;
  return el("span", { class: "progress", title: countsOf(counts) }, el("progress", { max: total, value: Math.min(done, total), "aria-label": `${text} trials` }), text);
}

const countsOf = (counts) => Object.entries(counts).map(([state, n]) => `${n} ${words(state)}`).join(", ");

function best(study) {
  const objectives = study.definition.metrics.filter((metric) => metric.role !== "constraint");
  if (objectives.length > 1) return el("span", { class: "soft" }, `front of ${objectives.length} metrics`);
  const [metric] = objectives;
  if (!study.best) return el("span", { class: "soft" }, el("span", {}, "- "), el("bdi", { class: "metric" }, metric.name));
  const isUp = metric.direction === "maximize";
  return [shown(study.best.values[metric.name]), " ", el("bdi", { class: "metric" }, metric.name), " ", el("span", { class: "soft", title: isUp ? "larger is better" : "smaller is better" }, isUp ? "↑" : "↓")];
}

function trend(study) {
  const last = Object.values(study.trial_counts).reduce((sum, n) => sum + n, 0);
  return study.summary.trend.length ? sparkline(study.summary.trend, last) : el("span", { class: "soft" }, "-");
}

function running(study) {
  const n = study.trial_counts.running || 0;
  const most = study.definition.limits.max_parallel;
  return most ? `${n} of ${most}` : String(n);
}

const isOpen = (study) => ["active", "stopping"].includes(study.state);

const speed = (study) => (isOpen(study) ? rate(study.summary.rate_per_h) : "-");

const left = (study) => (study.state === "active" ? span(study.summary.eta_low_s, study.summary.eta_high_s) : "-");
