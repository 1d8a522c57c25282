// Numbers, units and times as people read them. One place, so that every page says them alike.

const MINUS = "-";

// Four significant digits; exponents below 1e-4 and from 1e6. Words for what is no number.
export function number(value, digits = 4) {
  if (value === null || value === undefined) return MINUS;
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1).replace(/\.?0*e\+?/, "e");
}

// All digits, for a hover or a copy.
export const exact = (value) => (value === null || value === undefined ? MINUS : String(value));

// A column of numbers with one number of decimals: as many as its values need for four significant digits.
export function column(values) {
  const finite = values.filter((value) => typeof value === "number" && Number.isFinite(value));
  if (!finite.length || finite.some((value) => value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6))) return number;
  const most = Math.max(...finite.map(decimals));
  return (value) => (typeof value === "number" && Number.isFinite(value) ? value.toFixed(most) : number(value));
}

function decimals(value) {
  const [, fraction = ""] = String(Number(value.toPrecision(4))).split(".");
  return Math.min(6, fraction.length);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return MINUS;
  if (seconds < 1) return `${Math.round(Math.max(0, seconds) * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

// A guess needs no seconds: "~17 min", "3-5 h".
export function span(low, high) {
  if (low === null || low === undefined) return MINUS;
  const [a, b] = [rough(low), rough(high ?? low)];
  if (a === b) return `~${a}`;
  const [x, unit] = a.split(" ");
  return b.endsWith(` ${unit}`) ? `${x}-${b}` : `${a} - ${b}`;
}

function rough(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

const two = (n) => String(n).padStart(2, "0");

export const share = (value) => (value === null || value === undefined ? MINUS : value > 0 && value < 0.005 ? "< 1 %" : `${Math.round(value * 100)} %`);

export function gibibytes(bytes) {
  if (bytes === null || bytes === undefined) return MINUS;
  const size = bytes / 2 ** 30;
  return size >= 0.1 ? `${size.toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

export const rate = (perHour) => (perHour === null || perHour === undefined ? MINUS : `${Number(perHour.toPrecision(3)).toLocaleString("en")}/h`);

const SAID = { oom: "out of memory", nan: "not a number" };

export const words = (name) => SAID[name] || String(name).replaceAll("_", " ");

// What makes a parameter active: `{param, in}` or `{param, low, high}`.
export function condition({ param, in: choices = null, low = null, high = null }) {
  if (choices) return `${param} = ${choices.join(" or ")}`;
  return low === null ? `${param} ≤ ${number(high)}` : high === null ? `${param} ≥ ${number(low)}` : `${param} ${number(low)} to ${number(high)}`;
}

export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

// "6 min ago" up to a day, then the date.
export function ago(at, now = Date.now()) {
  const seconds = (now - at) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(at).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}

// The exact time with its offset from UTC.
export function moment(at) {
  const minutes = -new Date(at).getTimezoneOffset();
  const local = new Date(at + minutes * 60_000).toISOString().slice(0, 19).replace("T", " ");
  const sign = minutes < 0 ? "-" : "+";
  return `${local} ${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
}
