// Several panels as one tab.

import { el } from "../../lib/dom.js";

export function together(parts) {
  return {
    element: el("div", { class: "grid" }, ...parts.map((part) => part.element)),
    show: () => Promise.all(parts.map((part) => part.show())),
    update: (events) => parts.forEach((part) => part.update(events)),
    leave: () => parts.forEach((part) => part.leave()),
  };
}
