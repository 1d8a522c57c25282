// Controls that are bound to a place of the definition: each reads it from there and writes it back, and has a place
// of its own for the fault that the service finds there.

import { el } from "../../lib/dom.js";
import { at, put } from "./pointers.js";

let serial = 0;

export class Fields {
  // told(pointer): the definition has changed there.
  constructor(definition, told) {
    this.definition = definition;
    this.told = told;
    this.controls = new Map();
  }

  text(pointer, label, given = {}) {
    return this.#control(pointer, label, el("input", { type: "text", spellcheck: "false", ...given.attributes }), { ...given, show: String, read: (text) => text });
  }

  // What is no number stays as it was typed: the service says what is wrong with it.
  number(pointer, label, given = {}) {
    return this.#control(pointer, label, el("input", { type: "text", inputmode: "decimal", ...given.attributes }), { ...given, show: String, read: asNumber, className: "short" });
  }

  choice(pointer, label, options, given = {}) {
    const select = el("select", given.attributes || {}, ...options.map(([value, text]) => el("option", { value }, text)));
    return this.#control(pointer, label, select, { show: String, read: (text) => text, ...given, options });
  }

  json(pointer, label, given = {}) {
    return this.#control(pointer, label, el("textarea", { rows: 3, spellcheck: "false" }), { ...given, show: (value) => JSON.stringify(value, null, 1), read: asJson });
  }

  list(pointer, label, given = {}) {
    return this.#control(pointer, label, el("input", { type: "text", spellcheck: "false", ...given.attributes }), { ...given, show: shownList, read: asList });
  }

  flag(pointer, label, given = {}) {
    const box = el("input", { type: "checkbox", id: this.#id() });
    box.checked = at(this.definition, pointer) === true;
    box.addEventListener("change", () => this.#write(pointer, box.checked ? true : undefined, given));
    const fault = this.#fault(box);
    this.controls.set(pointer, { control: box, fault });
    return el("div", { class: "field flag" }, el("label", { title: given.help || null }, box, ` ${label}`), fault);
  }

  #id() {
    serial += 1;
    return `field-${serial}`;
  }

  #fault(control) {
    const fault = el("p", { class: "fault", id: `${control.id}-fault`, hidden: true });
    control.setAttribute("aria-describedby", fault.id);
    return fault;
  }

  #control(pointer, label, control, { show, read, help = "", hint = "", className = "", onChange = null, otherwise = undefined }) {
    control.id = this.#id();
    if (hint) control.placeholder = hint;
    const value = at(this.definition, pointer);
    if (value !== undefined && value !== null) control.value = show(value);
    else if (otherwise !== undefined) control.value = otherwise;
    if (control.tagName === "SELECT" && control.selectedIndex < 0) {
      control.append(el("option", { value: String(value) }, String(value)));
      control.value = String(value);
    }
    const event = control.tagName === "SELECT" ? "change" : "input";
    control.addEventListener(event, () => this.#write(pointer, control.value.trim() === "" ? undefined : read(control.value), { onChange }));
    const fault = this.#fault(control);
    this.controls.set(pointer, { control, fault });
    return el("div", { class: `field ${className}` }, el("label", { for: control.id, title: help || null }, label), control, fault);
  }

  #write(pointer, value, { onChange = null } = {}) {
    put(this.definition, pointer, value);
    if (onChange) onChange(value);
    this.told(pointer);
  }
}

function asNumber(text) {
  const value = Number(text.trim());
  return Number.isFinite(value) ? value : text.trim();
}

function asJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// simple, batchnorm, 3, true, "3": numbers and true or false are those, unless in quotes.
function asList(text) {
  const found = text.match(/"(?:[^"\\]|\\.)*"|[^,]+/g) || [];
  return found.map((part) => part.trim()).filter(Boolean).map((part) => {
    const value = asJson(part);
    return ["number", "boolean", "string"].includes(typeof value) ? value : part;
  });
}

function shownList(values) {
  if (!Array.isArray(values)) return JSON.stringify(values);
  return values.map((value) => (typeof value === "string" && !/[",]/.test(value) && typeof asJson(value) === "string" && value === value.trim() ? value : JSON.stringify(value))).join(", ");
}
