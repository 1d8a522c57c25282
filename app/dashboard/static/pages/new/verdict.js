// What the service says of the definition: faults beside their fields, warnings above the button.

import { el, fill, part } from "../../lib/dom.js";
import { plural } from "../../lib/format.js";
import { isIn } from "./pointers.js";

// faults: [{pointer, detail}]; touched: places that somebody has been at, null for all.
export function showFaults(form, faults, touched) {
  const isSeen = (pointer) => touched === null || [...touched].some((place) => isIn(pointer, place) || (isIn(place, pointer) && place !== ""));
  const byControl = new Map();
  for (const fault of faults.filter(({ pointer }) => isSeen(pointer))) {
    const place = nearest(form.fields.controls, fault.pointer);
    if (place) byControl.set(place, [...(byControl.get(place) || []), fault.detail]);
  }
  for (const [place, { control, fault }] of form.fields.controls) {
    const found = byControl.get(place);
    fault.hidden = !found;
    fault.textContent = found ? found.join(" ") : "";
    if (found) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
  const shown = faults.filter(({ pointer }) => isSeen(pointer));
  fill(part("faults"), ...shown.map(({ pointer, detail }) => line(form, pointer, detail)));
  return shown.length;
}

function line(form, pointer, detail) {
  const place = nearest(form.fields.controls, pointer);
  const name = el("code", {}, pointer || "/");
  if (!place) return el("li", {}, name, ` ${detail}`);
  return el("li", {}, el("button", { type: "button", class: "to-field", "data-place": place, title: "Go to the field" }, name), ` ${detail}`);
}

// The control at the fault's place, or of the nearest place around it or first in it.
function nearest(controls, pointer) {
  for (let place = pointer; place; place = place.slice(0, place.lastIndexOf("/"))) {
    if (controls.has(place)) return place;
    const inside = [...controls.keys()].find((each) => isIn(each, place) && place.split("/").length > 1);
    if (inside) return inside;
  }
  return null;
}

export function showWarnings(warnings) {
  part("warnings").hidden = !warnings.length;
  fill(part("warnings"), ...warnings.map((text) => el("li", {}, text)));
}

export function showChecked(text, isWrong = false) {
  if (part("checked").textContent !== text) part("checked").textContent = text;
  part("checked").classList.toggle("is-wrong", isWrong);
}

export const counted = (n, nHidden) => (n ? `${plural(n, "fault")}${nHidden ? ", and fields to fill in" : ""}.` : "Some fields are still to fill in.");
