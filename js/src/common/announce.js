/** What screen readers are told: the last text, once it has rested, so that a drag is not read out step by step. */

import { add } from "./dom.js";

const ANNOUNCE_AFTER = 500; // milliseconds

/** An invisible live region; `say` a text as often as things change, `stop` when the widget goes. */
export function createAnnouncer(parent) {
  const spoken = add(parent, "p", { class: "dw-spoken", role: "status" });
  let timer = null;
  return {
    say(text) {
      clearTimeout(timer);
      timer = setTimeout(() => spoken.text(text), ANNOUNCE_AFTER);
    },
    stop: () => clearTimeout(timer),
  };
}
