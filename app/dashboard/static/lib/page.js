// How a page reads what it shows: one reading at a time, again after a failure, and whenever something changed.

import { start } from "./live.js";
import { allIsWell, explain } from "./session.js";

// A function that reads anew. Calls that come while it reads make it read once more, not twice. It resolves when what
// is shown is at least as new as the call; failures are said on the page, and tried again.
export function reader(read) {
  let isStale = false;
  let running = null;
  const loop = async () => {
    while (isStale) {
      isStale = false;
      await untilRead(read);
    }
  };
  return () => {
    isStale = true;
    running = running || loop().finally(() => (running = null));
    return running;
  };
}

async function untilRead(read) {
  for (;;) {
    try {
      await read();
      return allIsWell();
    } catch (error) {
      if (error.name === "AbortError") return;
      await explain(error);
    }
  }
}

// Listens first and reads then, so that nothing falls between the two.
export async function open(read) {
  await untilRead(start);
  await read();
}

// Calls `run` at most once in `ms`, the last time after the last call.
export function atMostEach(ms, run) {
  let timer = null;
  let last = 0;
  return () => {
    if (timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      last = Date.now();
      run();
    }, Math.max(0, last + ms - Date.now()));
  };
}
