// Keys of the pages, listed under "?". They can be switched off, and never act inside a field.

import { el, openModal, part, toast } from "./dom.js";

const SWITCH = "tunewell:keys";
const keys = new Map();
let prefix = "";
let prefixTimer = null;

const areKeysOn = () => localStorage.getItem(SWITCH) !== "off";

// A key, or two after one another ("g s"), and what it does in a few words.
export function onKey(name, told, run) {
  keys.set(name, { told, run });
}

onKey("?", "show these keys", showKeys);
onKey("g s", "go to the studies", () => (location.href = "/"));
onKey("g w", "go to the workers", () => (location.href = "/workers"));

const isField = (node) => node instanceof HTMLElement && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (!areKeysOn() || isField(event.target) || document.querySelector("dialog[open]")) return;
  const name = prefix ? `${prefix} ${event.key}` : event.key;
  clearTimeout(prefixTimer);
  prefix = "";
  const found = keys.get(name);
  if (found) {
    event.preventDefault();
    found.run(event);
  } else if ([...keys.keys()].some((key) => key.startsWith(`${event.key} `))) {
    prefix = event.key;
    prefixTimer = setTimeout(() => (prefix = ""), 1_000);
  }
});

function showKeys() {
  const rows = [...keys].map(([name, { told }]) => el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, name)), el("td", {}, told)));
  const toggle = el("button", { type: "button", onclick: () => (turn(!areKeysOn()), dialog.close()) }, areKeysOn() ? "Switch keys off" : "Switch keys on");
  const form = el("form", { method: "dialog" }, el("h2", {}, "Keys"), el("table", {}, el("tbody", {}, ...rows)), el("div", { class: "actions" }, toggle, el("button", { autofocus: true }, "Close")));
  const dialog = el("dialog", { "aria-label": "Keys" }, form);
  openModal(dialog);
}

function turn(isOn) {
  localStorage.setItem(SWITCH, isOn ? "on" : "off");
  toast(isOn ? "Keys are on." : "Keys are off; the button \"?\" switches them on.");
}

part("keys-button")?.addEventListener("click", showKeys);
