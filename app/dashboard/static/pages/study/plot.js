// One analysis in one panel: read when the panel is first seen, drawn anew when the selection or the view changes, and
// read again when enough trials have ended. A panel fails alone.

import { getFresh } from "../../lib/api.js";
import { copy, el } from "../../lib/dom.js";
import { Panel } from "../../lib/panel.js";
import { explain } from "../../lib/session.js";
import { curlOf, keywords, python, pythonOf } from "../../lib/snippets.js";
import { onChange } from "../../lib/view.js";
import { isEnded, metricOf, titled } from "./common.js";

const LATE_MS = 30_000;
const SOON_MS = 2_000;

export class Plot {
  // kind: of the analysis; keys: names in the address that it depends on; isOfMetric: it is about the metric that the
  // address names; the rest is the panel's.
  constructor(context, { kind, keys: own = [], isOfMetric = false, title, ...rest }) {
    const keys = isOfMetric ? [...own, "metric"] : own;
    Object.assign(this, { context, kind, title, isOfMetric });
    this.data = null;
    this.asked = null;
    this.isOpen = false;
    this.isStale = true;
    this.flight = null;
    this.nEnded = 0;
    this.timer = null;
    this.held = []; // events that came while it was read
    this.panel = new Panel({ title: this.titleNow, link: context.link, onSeen: () => this.comeIntoSight(), ...rest });
    this.element = this.panel.element;
    context.selection.onChange(() => this.redraw());
    onChange((names) => {
      if (names === null || names.some((name) => keys.includes(name))) this.viewChanged();
    });
  }

  get titleNow() {
    return this.isOfMetric ? titled(this.context, this.title) : this.title;
  }

  get metric() {
    return metricOf(this.context);
  }

  // What is asked of the analysis, or a promise of it; null: there is nothing to ask for, `render` says why.
  parameters() {
    return {};
  }

  // Draws `this.data`; resolves when it is drawn.
  async render() {}

  async show() {
    this.isOpen = true;
    this.isStale = true;
    if (this.panel.isSeen()) await this.load();
  }

  leave() {
    this.isOpen = false;
    clearTimeout(this.timer);
    this.timer = null;
    this.panel.release();
  }

  comeIntoSight() {
    if (this.isOpen && this.isStale) this.load();
  }

  viewChanged() {
    if (!this.isOpen) return;
    this.isStale = true;
    if (this.panel.isSeen()) this.load();
  }

  redraw() {
    if (this.isOpen && this.data) this.render().catch((error) => this.panel.fail(error));
  }

  // One call at a time; asked again meanwhile, it reads once more.
  load() {
    this.isStale = true;
    this.flight = this.flight || this.read().finally(() => this.landed());
    return this.flight;
  }

  // What happened while it was read may be newer than the answer: it is applied after it.
  landed() {
    this.flight = null;
    const news = this.held.filter((event) => event.kind === "reset" || !(Number(event.seq) <= this.data?.change_seq));
    this.held = [];
    if (news.length && this.isOpen) this.news(news);
  }

  async read() {
    while (this.isStale && this.isOpen) {
      this.isStale = false;
      this.nEnded = 0;
      clearTimeout(this.timer);
      this.timer = null;
      try {
        const chosen = await this.parameters();
        const asked = chosen !== null && this.isOfMetric ? ofMetric(chosen, this.metric) : chosen;
        this.panel.setTitle(this.titleNow);
        this.asked = asked;
        this.panel.copies = asked === null ? null : () => this.copies();
        this.data = asked === null ? null : await this.fetch(asked);
        if (!this.isStale && this.isOpen) await this.render();
        if (this.data?.stale_by) this.timer = setTimeout(() => this.viewChanged(), SOON_MS); // an older answer came first
      } catch (error) {
        if (error.status === 401) await explain(error).then(() => (this.isStale = true));
        else this.panel.fail(error, () => this.load());
      }
    }
  }

  get path() {
    return `${this.context.base}/analysis/${this.kind}`;
  }

  fetch(asked) {
    return getFresh(this.path, asked);
  }

  // The call that brings what is drawn: of what was asked for last, at the time of the click.
  copies() {
    const button = (name, text) => el("button", { type: "button", class: "quiet switch", onclick: () => copy(text(), name) }, `Copy ${name}`);
    const line = () => `print(client.studies.get(${python(this.context.id)}).analysis(${python(this.kind)}${keywords(this.asked)}))`;
    return el("p", { class: "copies" }, button("curl", () => curlOf(this.path, { asked: this.asked })), " ", button("Python", () => pythonOf(line())));
  }

  update(events) {
    if (this.flight) this.held.push(...events);
    else this.news(events);
  }

  // Read again when max(10, 5 %) of the trials have ended since, or 30 s after the last one.
  news(events) {
    if (events.some((event) => event.kind === "reset")) return this.viewChanged();
    const n = events.filter((event) => event.kind === "trial.state" && isEnded(event.data.state)).length;
    return n ? this.ended(n) : undefined;
  }

  ended(n) {
    this.nEnded += n;
    clearTimeout(this.timer);
    this.timer = null;
    const { n_total: total = 0, n_used: used = 0, needs = null } = this.data || {};
    if (this.nEnded >= Math.max(10, 0.05 * total) || (needs && used + this.nEnded >= needs)) this.viewChanged();
    else this.timer = setTimeout(() => this.viewChanged(), LATE_MS);
  }
}

// What is asked of an analysis of a metric: the service's own choice is the first objective.
export const ofMetric = (asked, { name, isFirst }) => (isFirst ? asked : { ...asked, metric: name });
