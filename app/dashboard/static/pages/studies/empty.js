// What stands where there is no study: what to type, and a button.

import { copy, el, fill, part } from "../../lib/dom.js";

const COMMAND = "tunewell study run examples/studies/function-quickstart.json --url";

export function showEmpty({ isFiltered, mayWrite, clear }) {
  const box = part("empty");
  if (isFiltered) {
    return fill(box, el("h2", {}, "No study fits these filters"), el("div", { class: "actions" }, el("button", { type: "button", onclick: clear }, "Clear the filters")));
  }
  const command = `${COMMAND} ${location.origin}`;
  const parts = [el("h2", {}, "There is no study yet")];
  if (mayWrite) {
    parts.push(
      el("p", {}, "A study is a search space, a metric and a budget. Start with a template and change what you like:"),
      el("div", { class: "actions" }, el("a", { class: "button primary", href: "/new" }, "New study"), el("a", { class: "button", href: "/new?template=function" }, "Try a test function")),
      el("p", {}, "Or from a terminal:"),
    );
  } else {
    parts.push(el("p", {}, "This token may look but not make studies; with a submitter's token one types:"));
  }
  parts.push(el("pre", {}, command), el("div", { class: "actions" }, el("button", { type: "button", onclick: () => copy(command, "the command") }, "Copy")));
  fill(box, ...parts);
}
