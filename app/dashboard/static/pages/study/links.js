// Links to trials by their number: their address is asked for when one is followed.

import { el } from "../../lib/dom.js";
import { explain } from "../../lib/session.js";

export function trialLink(context, number) {
  const link = el("a", { class: "trial-link", href: `?tab=trials&find=${number}`, "data-number": number }, `#${number}`);
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    try {
      location.href = await context.link(number);
    } catch (error) {
      explain(error);
    }
  });
  return link;
}
