// What a study is about at one look: is it getting better, how do trials learn, which parameter matters, and where.

import { el } from "../../lib/dom.js";

export function tab() {
  const element = el("div", { class: "grid" });
  return { element, async show() {}, update() {}, leave() {} };
}
