// The colours that charts share with the style sheets: read from the same tokens, in either theme.

const dark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => dark.matches;

export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export const stateColour = (state) => token(["running", "completed", "stopped", "paused", "failed"].includes(state) ? `state-${state}` : state === "infeasible" ? "state-failed" : "state-other");

export const series = (k) => token(`series-${(k % 6) + 1}`);

export const DASHES = ["solid", "dashed", "dotted"];

// viridis, from its published table at 9 places, cut so that the best end stands away from the background.
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

export function ramp() {
  return isDark() ? VIRIDIS.slice(3) : VIRIDIS.slice(0, 5).reverse();
}

// Calls `told` when the system goes from light to dark or back.
export const onTheme = (told) => dark.addEventListener("change", told);

export const FONT = "system-ui, sans-serif";

const text = () => ({ color: token("soft"), fontFamily: FONT, fontSize: 12 });

// The user's own name of a metric or a parameter beside an axis.
export const axisName = (name, nameGap) => ({ name: name.length > 28 ? `${name.slice(0, 27)}…` : name, nameGap });

// What every axis of every chart looks like.
export function axis(given = {}) {
  return {
    axisLine: { onZero: false, lineStyle: { color: token("edge") } },
    axisTick: { lineStyle: { color: token("edge") } },
    splitLine: { lineStyle: { color: token("line") } },
    axisLabel: { ...text(), hideOverlap: true, ...given.axisLabel },
    nameTextStyle: text(),
    nameLocation: "middle",
    ...Object.fromEntries(Object.entries(given).filter(([name]) => name !== "axisLabel")),
  };
}
