// Which metric the plots are about, where a study has several; kept in the address.

import { el, fill } from "../../lib/dom.js";
import { change, onChange, read } from "../../lib/view.js";
import { metricNames, metricOf, objectives } from "./common.js";

const PLOTTED = ["overview", "parameters", "suggester"]; // tabs with plots that follow it

export class MetricChoice {
  constructor(context) {
    this.context = context;
    this.select = el("select", { onchange: () => this.choose() });
    this.element = el("p", { id: "metric", class: "metric" }, el("label", {}, "Plots are of ", this.select));
    onChange(() => this.show());
    this.show();
  }

  show() {
    const study = this.context.study();
    const names = metricNames(study);
    const { name } = metricOf(this.context);
    const aims = new Set(objectives(study.definition).map((metric) => metric.name));
    const word = (each) => (aims.has(each) ? each : `${each} (${study.definition.metrics.some((metric) => metric.name === each) ? "constraint" : names.includes(each) ? "reported" : "unknown"})`);
    fill(this.select, ...[...new Set([...names, name])].map((each) => el("option", { value: each, selected: each === name }, word(each))));
    this.select.value = name;
    this.element.hidden = !PLOTTED.includes(read("tab") || "overview");
  }

  choose() {
    const [first] = objectives(this.context.study().definition);
    change({ metric: this.select.value === first.name ? null : this.select.value });
  }
}
