// Keys above plots: a line, a dashed line or an area is shown as one, not as a dot.

import { FONT, token } from "./theme.js";

export const LINE = "path://M0,4H18V6H0Z";
export const DASH = "path://M0,4H5V6H0ZM7,4H12V6H7ZM14,4H19V6H14Z";

export const DOTS = "path://M0,4H2V6H0ZM4,4H6V6H4ZM8,4H10V6H8ZM12,4H14V6H12ZM16,4H18V6H16Z";

export const area = (name) => ({ name, icon: "rect", itemStyle: { opacity: 0.3 } });

// data: names, or {name, icon}. Nothing is switched by a click: the table holds all.
export const legend = (data) => ({ top: 0, left: 0, itemWidth: 18, itemHeight: 10, selectedMode: false, textStyle: { color: token("soft"), fontFamily: FONT, fontSize: 12 }, data });
