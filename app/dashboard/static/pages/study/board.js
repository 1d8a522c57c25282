// Several plots as one tab: they open, hear events and are left together.

import { el } from "../../lib/dom.js";

export class Board {
  // plots: of class Plot; before: an element above them.
  constructor(plots, before = null) {
    this.plots = plots;
    this.element = el("div", {}, before, el("div", { class: "grid" }, ...plots.map((plot) => plot.element)));
  }

  show() {
    return Promise.all(this.plots.map((plot) => plot.show()));
  }

  update(events) {
    for (const plot of this.plots) plot.update(events);
  }

  leave() {
    for (const plot of this.plots) plot.leave();
  }
}
