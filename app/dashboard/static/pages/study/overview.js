// What a study is about at one look: is it getting better, how do trials learn, which parameter matters, and where.

import { el } from "../../lib/dom.js";
import { History } from "./history.js";
import { Trials } from "./trials.js";

export function tab(context) {
  const parts = [new History(context), new Trials(context, { size: 25 })];
  const element = el("div", { class: "grid" }, ...parts.map((part) => part.element));
  return {
    element,
    show: () => Promise.all(parts.map((part) => part.show())),
    update: (events) => parts.forEach((part) => part.update(events)),
    leave: () => parts.forEach((part) => part.leave()),
  };
}
