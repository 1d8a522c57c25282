// What the reader has picked out of a study, in the units of its parameters: `sel=learning_rate:1e-3..6e-3,model:a|b`
// in the address. All panels dim the rest; the table and its CSV ask the service for what is in it.

import { getFresh } from "../../lib/api.js";
import { number } from "../../lib/format.js";
import { change, onChange, read } from "../../lib/view.js";

const MOST_POINTS = 2_900;
const LATE_MS = 1_500;

// Names and choices are anything: what the grammar uses is escaped as in an address.
const escaped = (text) => encodeURIComponent(String(text)).replaceAll(".", "%2E").replaceAll("%20", " ");

// By parameter name {low, high} (either may be null) or {in: [...]}; what cannot be read is left out.
export function parse(text, parameters) {
  const found = new Map();
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  for (const item of (text || "").split(",")) {
    const colon = item.indexOf(":");
    const parameter = byName.get(unescaped(item.slice(0, Math.max(0, colon))));
    const rule = parameter && ruleOf(item.slice(colon + 1), parameter);
    if (rule) found.set(parameter.name, rule);
  }
  return found;
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function ruleOf(text, parameter) {
  if (parameter.type === "categorical") {
    const named = new Set(text.split("|").map(unescaped));
    const choices = parameter.choices.filter((choice) => named.has(String(choice)));
    return choices.length ? { in: choices } : null;
  }
  const [low, high = low] = text.split("..").map((part) => (part.trim() === "" ? null : Number(part)));
  if ((low === null && high === null) || Number.isNaN(low) || Number.isNaN(high)) return null;
  return { low, high };
}

export function write(rules) {
  const items = [...rules].map(([name, rule]) => {
    const text = rule.in ? rule.in.map(escaped).join("|") : `${rule.low ?? ""}..${rule.high ?? ""}`;
    return `${escaped(name)}:${text}`;
  });
  return items.join(",");
}

// The same as the service reads it in `where`; null for nothing picked.
export function where(rules) {
  if (!rules.size) return null;
  const plain = ({ low, high, ...rest }) => (rest.in ? rest : { ...(low === null ? {} : { low }), ...(high === null ? {} : { high }) });
  return JSON.stringify(Object.fromEntries([...rules].map(([name, rule]) => [name, plain(rule)])));
}

export const holds = (rule, value) => {
  if (value === null || value === undefined) return false;
  return rule.in ? rule.in.includes(value) : (rule.low === null || value >= rule.low) && (rule.high === null || value <= rule.high);
};

// In words: "learning_rate 0.001 to 0.006, model batchnorm".
export const told = (rules) =>
  [...rules].map(([name, rule]) => {
    if (rule.in) return `${name} ${rule.in.join(" or ")}`;
    if (rule.low === null) return `${name} up to ${number(rule.high)}`;
    return rule.high === null ? `${name} from ${number(rule.low)}` : `${name} ${number(rule.low)} to ${number(rule.high)}`;
  }).join(", ");

export class Selection {
  // numbers: the trials in it, of those that plots show; null while nothing is picked.
  constructor(context) {
    this.context = context;
    this.rules = this.fromAddress();
    this.numbers = null;
    this.listeners = new Set();
    this.timer = null;
    onChange((names) => (names === null || names.includes("sel")) && this.changed());
    if (this.rules.size) this.look();
  }

  fromAddress() {
    this.text = read("sel");
    return parse(this.text, this.context.study().definition.space);
  }

  get isEmpty() {
    return this.rules.size === 0;
  }

  where() {
    return where(this.rules);
  }

  // In words; of one parameter or of all.
  told(name = null) {
    return told(name === null ? this.rules : new Map([[name, this.rules.get(name)]]));
  }

  // Whether a trial belongs to what is picked; all do while nothing is.
  includes(trialNumber) {
    return this.numbers === null || this.numbers.has(trialNumber);
  }

  // Sets or, with null, takes out the rules of some parameters: {name: {low, high} | {in} | null}.
  set(changes) {
    const rules = new Map(this.rules);
    for (const [name, rule] of Object.entries(changes)) {
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

  // Which trials are in it: from the values of its parameters, as the slice plot has them.
  async look() {
    const names = [...this.rules.keys()];
    const text = this.text;
    try {
      const { slices } = await getFresh(`${this.context.base}/analysis/slice`, { param: names, max_points: MOST_POINTS });
      if (text !== this.text) return;
      const sets = slices.map(({ param, number: numbers, x }) => new Set(numbers.filter((_, k) => holds(this.rules.get(param), x[k]))));
      this.numbers = sets.reduce((all, one) => new Set([...all].filter((each) => one.has(each))));
    } catch (error) {
      console.warn("the selection could not be read:", error.message);
      this.numbers = null;
    }
  }
}
