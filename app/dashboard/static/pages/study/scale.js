// Axes of plots: where they begin and end, logarithms, and parameters as axes.

import { el, toast } from "../../lib/dom.js";
import { number } from "../../lib/format.js";
import { onKey } from "../../lib/keys.js";
import { axis, token } from "../../lib/theme.js";
import { change, read } from "../../lib/view.js";

const finite = (value) => typeof value === "number" && Number.isFinite(value);

export const isMaximized = (metric) => metric.direction === "maximize";

// Ends of an axis of values. Where the middle 98 % take less than a tenth of the whole range, the axis is cut there:
// three diverged runs must not flatten the rest. `outside` counts what is cut off.
export function extent(values, { isWhole = false } = {}) {
  const sorted = Float64Array.from(values.filter(finite)).sort();
  if (!sorted.length) return { low: 0, high: 1, outside: 0, isCut: false };
  const [first, last] = [sorted[0], sorted[sorted.length - 1]];
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  let [low, high] = sorted.length >= 200 ? [at(0.01), at(0.99)] : fences(sorted, at);
  const isCut = !(last / 10 - first / 10 <= high - low);
  if (!isCut || isWhole) [low, high] = [first, last];
  const outside = isCut ? sorted.filter((value) => value < low || value > high).length : 0;
  return { low, high, outside: isWhole ? 0 : outside, isCut };
}

// Of few values 1 % is less than one: what lies ten quartile distances away is cut off.
function fences(sorted, at) {
  const [q25, q75] = [at(0.25), at(0.75)];
  const reach = 10 * (q75 - q25) || Math.abs(q25) * 0.1 || 1;
  const inside = sorted.filter((value) => value >= q25 - reach && value <= q75 + reach);
  return [inside[0], inside[inside.length - 1]];
}

// Ends with some room, so that no mark lies on the frame.
export function padded({ low, high }, isLog = false) {
  if (isLog) return { min: low / 1.1, max: high * 1.1 };
  const room = (high - low) * 0.04 || Math.abs(high) * 0.05 || 0.5;
  return { min: tidy(low - room, room), max: tidy(high + room, room) };
}

// Few digits, so that the ends of an axis can be read.
function tidy(value, room) {
  const unit = 10 ** Math.floor(Math.log10(room));
  return Number.isFinite(value) && unit > 0 ? Number((Math.round(value / unit) * unit).toPrecision(12)) : value;
}

export const valueAxis = (ends, isLog, given = {}) =>
  axis({ type: isLog ? "log" : "value", ...padded(ends, isLog), ...given, axisLabel: { formatter: (value) => number(value, 3), showMinLabel: false, showMaxLabel: false, ...given.axisLabel } });

// --- brushes ---

const isCoarse = matchMedia("(pointer: coarse)");
const brushed = new WeakSet(); // charts with an area: to take none away would draw them once more

// The option of a brush: one rectangle or stretch in the accent's colour. Series are left as they are: what is outside
// is dimmed by the selection.
export const brushOption = (given) => ({
  brush: { brushMode: "single", throttleType: "debounce", throttleDelay: 100, brushStyle: { color: token("accent"), opacity: 0.12, borderColor: token("accent") }, outOfBrush: {}, inBrush: { liftZ: 0 }, seriesIndex: [], ...given },
  toolbox: { show: false },
});

// Shows an area (null for none) and lets a new one be drawn: not with a finger, which has to scroll the page; fields do
// the same. `told(coordRange or undefined)` hears of what was drawn.
export function brushOn(chart, isNew, brushType, area, told) {
  if (!isCoarse.matches) chart.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType, brushMode: "single" } });
  if (area || brushed.has(chart)) chart.dispatchAction({ type: "brush", areas: area ? [{ brushType, ...area }] : [] });
  brushed[area ? "add" : "delete"](chart);
  if (isNew) chart.on("brushEnd", ({ areas }) => told(areas[0]?.coordRange));
}

// --- the switches of panels, kept in the address as `log=history,curves` ---

const listed = (name) => (read(name) || "").split(",").filter(Boolean);

// Whether a switch is on; null where the address does not say.
export const isOn = (name, id) => (listed(name).includes(id) ? true : listed(name).includes(`-${id}`) ? false : null);

export function turn(name, id, isWanted) {
  const others = listed(name).filter((each) => each !== id && each !== `-${id}`);
  change({ [name]: [...others, isWanted ? id : `-${id}`].join(",") });
}

// A switch for a logarithmic axis; it says why it cannot be used.
export class LogSwitch {
  constructor(id, byDefault = false) {
    this.id = id;
    this.byDefault = byDefault;
    this.reason = "";
    this.element = el("button", { type: "button", class: "quiet switch", "data-log": true, "aria-pressed": "false", onclick: () => this.toggle() }, "log");
  }

  get isOn() {
    return !this.reason && (isOn("log", this.id) ?? this.byDefault);
  }

  toggle() {
    if (this.reason) toast(this.reason);
    else turn("log", this.id, !this.isOn);
  }

  // values: those shown; they have to be above 0.
  allow(values) {
    const least = values.reduce((low, value) => (finite(value) && value < low ? value : low), Infinity);
    this.reason = least <= 0 ? `A log axis needs values above 0; the lowest shown is ${number(least)}.` : "";
    this.element.setAttribute("aria-pressed", String(this.isOn));
    this.element.setAttribute("aria-disabled", String(Boolean(this.reason)));
    this.element.title = this.reason || "Logarithmic axis";
  }
}

// The key works on the plot that holds the focus, else on the first one.
onKey("l", "logarithmic axis of a plot", () => {
  const at = document.activeElement?.closest(".panel")?.querySelector("[data-log]") || document.querySelector("[data-log]");
  at?.click();
});

// Shows all values, or only those in the middle, where an axis is cut.
export class CutSwitch {
  constructor(told) {
    this.isWhole = false;
    this.element = el("button", { type: "button", class: "quiet switch", hidden: true, onclick: () => ((this.isWhole = !this.isWhole), told()) });
  }

  show({ isCut, outside }) {
    this.element.hidden = !isCut;
    this.element.textContent = this.isWhole ? "cut the axis" : `${outside} outside`;
    this.element.title = this.isWhole ? "Show the middle of the values only" : "Show these values too";
  }
}

// --- parameters ---

export const parameterOf = (study, name) => study.definition.space.find((parameter) => parameter.name === name) || null;

// A trial's own small shift, so that marks of one choice do not hide each other; always the same for a trial.
export const jitter = (trialNumber) => (((Math.imul(trialNumber, 2654435761) >>> 8) % 1000) / 1000 - 0.5) * 0.5;

// Where a value of a parameter stands on its axis: itself, or the place of a choice.
export const spot = (parameter, value) => (parameter.type === "categorical" ? parameter.choices.indexOf(value) : value);

const isLogParameter = (parameter) => parameter.type !== "categorical" && parameter.log;

export function parameterAxis(parameter, given = {}) {
  if (parameter.type === "categorical") {
    const n = parameter.choices.length;
    const formatter = (value) => (Number.isInteger(value) && value >= 0 && value < n ? short(parameter.choices[value]) : "");
    return axis({ type: "value", min: -0.5, max: n - 0.5, interval: 1, splitLine: { show: false }, ...given, axisLabel: { formatter, customValues: parameter.choices.map((_, k) => k) }, axisTick: { customValues: parameter.choices.map((_, k) => k) } });
  }
  const { low, high } = parameter;
  const ends = low === high ? { min: low - 0.5, max: high + 0.5 } : { min: low, max: high };
  return axis({ type: isLogParameter(parameter) ? "log" : "value", ...ends, ...given, axisLabel: { formatter: (value) => number(Math.min(high, Math.max(low, value)), 3) } });
}

export const short = (text, most = 16) => (String(text).length > most ? `${String(text).slice(0, most - 1)}…` : String(text));

// A value at a share of a numeric parameter's scale.
export function valueAt(parameter, place) {
  const { low, high } = parameter;
  return isLogParameter(parameter) ? Math.exp(Math.log(low) * (1 - place) + Math.log(high) * place) : low * (1 - place) + high * place;
}

export function placeOf(parameter, value) {
  const { low, high } = parameter;
  if (low === high) return 0;
  return isLogParameter(parameter) ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

// A number that a brush gave, as people would write it: three digits are as fine as a pixel is.
export const rounded = (value) => Number(value.toPrecision(3));

export { finite };
