// Number fields and choices that pick trials, beside each brush: whatever can be dragged can also be typed.

import { el, named } from "../../lib/dom.js";
import { number } from "../../lib/format.js";
import { rounded } from "./scale.js";

// Fields of one parameter, or of the value (then `title` says how to call it); `refresh()` shows what is picked unless the reader is typing.
export class Range {
  constructor(context, parameter) {
    Object.assign(this, { context, parameter });
    this.name = parameter.title || parameter.name;
    const legend = el("legend", {}, named(this.name));
    this.inputs = parameter.type === "categorical" ? this.choices() : this.ends();
    const clear = el("button", { type: "button", class: "quiet switch", "aria-label": `Clear ${this.name}`, onclick: () => this.set(null) }, "clear");
    this.element = el("fieldset", { class: "range" }, legend, ...this.inputs.map(({ label }) => label), clear);
    this.element.addEventListener("change", () => this.read());
    this.refresh();
  }

  ends() {
    const { low, high } = this.parameter;
    return [["from", low], ["to", high]].map(([word, end]) => {
      const input = el("input", { type: "text", inputmode: "decimal", placeholder: end === null ? "any" : number(end), "aria-label": `${this.name} ${word}` });
      return { input, label: el("label", {}, `${word} `, input) };
    });
  }

  choices() {
    return this.parameter.choices.map((choice) => {
      const input = el("input", { type: "checkbox" });
      return { input, choice, label: el("label", {}, input, " ", named(choice)) };
    });
  }

  set(rule) {
    this.context.selection.set([this.parameter.name, rule]);
  }

  read() {
    if (this.parameter.type === "categorical") {
      const chosen = this.inputs.filter(({ input }) => input.checked).map(({ choice }) => choice);
      return this.set(chosen.length ? { in: chosen } : null);
    }
    const [low, high] = this.inputs.map(({ input }) => (input.value.trim() === "" ? null : Number(input.value.replace(",", "."))));
    this.inputs.forEach(({ input }, k) => input.setAttribute("aria-invalid", String(Number.isNaN([low, high][k]))));
    if (Number.isNaN(low) || Number.isNaN(high)) return undefined;
    return this.set(low === null && high === null ? null : { low, high });
  }

  refresh() {
    if (this.element.contains(document.activeElement) && document.activeElement.type === "text") return;
    const rule = this.context.selection.rules.get(this.parameter.name);
    this.inputs.forEach(({ input, choice }, k) => {
      if (choice !== undefined) input.checked = Boolean(rule?.in.includes(choice));
      else input.value = (k ? rule?.high : rule?.low) ?? "";
    });
  }
}

// What a brush over a stretch of an axis picks: numbers to three digits, choices by their places.
export function ruleBetween(parameter, low, high) {
  if (parameter.type === "categorical") {
    const chosen = parameter.choices.filter((_, k) => k >= low - 0.25 && k <= high + 0.25);
    return chosen.length ? { in: chosen } : null;
  }
  return { low: Math.max(parameter.low, rounded(low)), high: Math.min(parameter.high, rounded(high)) };
}

// The stretch of an axis that a rule covers; null where it is no single one.
export function stretchOf(parameter, rule) {
  if (!rule) return null;
  if (!rule.in) return [rule.low ?? parameter.low, rule.high ?? parameter.high];
  const places = rule.in.map((choice) => parameter.choices.indexOf(choice)).sort((a, b) => a - b);
  return places.at(-1) - places[0] === places.length - 1 ? [places[0] - 0.4, places.at(-1) + 0.4] : null;
}
