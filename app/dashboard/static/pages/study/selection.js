// What the reader has picked out of a study, in its own units: `sel=learning_rate:1e-3..6e-3,model:a,model:b` in the
// address, read by the service as `where`. All panels dim the rest; the table and its CSV show what is in it.

import { getFresh, Unanswered } from "../../lib/api.js";
import { number } from "../../lib/format.js";
import { change, onChange, read } from "../../lib/view.js";

const LATE_MS = 1_500;
const OWN = ["value", "number", "state"]; // names of what every trial has
const PARAM = "param:";

export const VALUE = Symbol("the value of the first objective");

// Names and choices are anything: what the grammar uses is escaped as in an address.
const escaped = (text) => encodeURIComponent(text).replaceAll(".", "%2E").replaceAll("%20", " ");

const nameText = (name) => (name === VALUE ? "value" : escaped(OWN.includes(name) || name.startsWith(PARAM) ? PARAM + name : name));

// A text that reads like a number or like a quoted text stands in quotes.
function choiceText(choice) {
  if (typeof choice !== "string") return escaped(String(choice));
  const isOther = choice === "true" || choice === "false" || (choice.trim() !== "" && Number.isFinite(Number(choice))) || (choice.startsWith('"') && choice.endsWith('"'));
  return escaped(isOther || choice.trim() !== choice || choice === "" ? `"${choice}"` : choice);
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// By parameter, or VALUE: {low, high} (either may be null) or {in: [...]}; what cannot be read is left out.
export function parse(text, parameters) {
  const found = new Map();
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  for (const item of (text || "").split(",")) {
    const colon = item.indexOf(":");
    const raw = unescaped(item.slice(0, Math.max(0, colon)).trim());
    const what = item.slice(colon + 1).trim();
    if (raw === "value") put(found, VALUE, rangeOf(what));
    else {
      const parameter = byName.get(raw.startsWith(PARAM) ? raw.slice(PARAM.length) : raw);
      if (parameter) put(found, parameter.name, parameter.type === "categorical" ? choiceOf(what, parameter) : rangeOf(what));
    }
  }
  return found;
}

function put(found, name, rule) {
  if (!rule) return;
  const known = found.get(name);
  found.set(name, known?.in && rule.in ? { in: [...known.in, ...rule.in] } : rule);
}

function choiceOf(text, { choices }) {
  const given = unescaped(text);
  const isQuoted = given.length > 1 && given.startsWith('"') && given.endsWith('"');
  const found = choices.filter((choice) => (isQuoted ? choice === given.slice(1, -1) : String(choice) === given));
  return found.length ? { in: found } : null;
}

function rangeOf(text) {
  const [low, high = low] = text.split("..").map((part) => (part.trim() === "" ? null : Number(part)));
  if ((low === null && high === null) || Number.isNaN(low) || Number.isNaN(high)) return null;
  return { low, high };
}

export function write(rules) {
  return [...rules].map(([name, rule]) => (rule.in ? rule.in.map((choice) => `${nameText(name)}:${choiceText(choice)}`).join(",") : `${nameText(name)}:${rule.low ?? ""}..${rule.high ?? ""}`)).join(",");
}

// In words: "learning_rate 0.001 to 0.006, model batchnorm".
export const told = (rules) =>
  [...rules].map(([key, rule]) => {
    const name = key === VALUE ? "value" : key;
    if (rule.in) return `${name} ${rule.in.join(" or ")}`;
    if (rule.low === null) return `${name} up to ${number(rule.high)}`;
    return rule.high === null ? `${name} from ${number(rule.low)}` : `${name} ${number(rule.low)} to ${number(rule.high)}`;
  }).join(", ");

export class Selection {
  // numbers: of the trials in it; null while nothing is picked.
  constructor(context) {
    this.context = context;
    this.rules = this.fromAddress();
    this.numbers = null;
    this.listeners = new Set();
    this.timer = null;
    onChange((names) => (names === null || names.includes("sel")) && this.changed());
    if (this.rules.size) this.look().then(() => this.tell()); // panels may be there before the answer
  }

  fromAddress() {
    this.text = read("sel");
    return parse(this.text, this.context.study().definition.space);
  }

  get isEmpty() {
    return this.rules.size === 0;
  }

  // As the service reads it; states are picked beside it.
  where(states = []) {
    return [write(this.rules), ...states.map((state) => `state:${state}`)].filter(Boolean).join(",") || null;
  }

  // In words; of one parameter or of all.
  told(name = null) {
    return told(name === null ? this.rules : new Map([[name, this.rules.get(name)]]));
  }

  // Whether a trial belongs to what is picked; all do while nothing is.
  includes(trialNumber) {
    return this.numbers === null || this.numbers.has(trialNumber);
  }

  // Sets rules by [name, {low, high} | {in}]; null takes one out.
  set(...changes) {
    const rules = new Map(this.rules);
    for (const [name, rule] of changes) {
      if (rule === null || (rule.in && !rule.in.length)) rules.delete(name);
      else rules.set(name, rule);
    }
    change({ sel: write(rules) || null });
  }

  clear() {
    change({ sel: null });
  }

  onChange(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async changed() {
    if (read("sel") === this.text) return;
    this.rules = this.fromAddress();
    if (this.isEmpty) this.numbers = null;
    else await this.look();
    this.tell();
  }

  tell() {
    for (const listener of this.listeners) listener(this);
  }

  // Trials that have ended since may belong to it.
  update(events) {
    if (this.isEmpty || this.timer !== null || !events.some((event) => event.kind === "trial.state")) return;
    this.timer = setTimeout(async () => {
      this.timer = null;
      await this.look();
      this.tell();
    }, LATE_MS);
  }

  // Which trials are in it, as the service says: plots show some of them only.
  async look() {
    const { text } = this;
    try {
      const { columns } = await getFresh(`${this.context.base}/analysis/selected`, { where: this.where() });
      if (text === this.text) this.numbers = new Set(columns.number);
    } catch (error) {
      if (!(error instanceof Unanswered)) console.warn("the selection could not be read:", error.message);
      this.numbers = null;
    }
  }
}
