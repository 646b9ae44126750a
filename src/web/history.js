// What happened to all instances, page by page.

import { el } from "./dom.js";
import { timeline } from "./timeline.js";

/** The page. */
export function historyPage() {
  const events = timeline({ heading: "Events, newest first", withService: true });
  return {
    element: el("div", {}, el("h1", {}, "History"), events.element),
    start(signal) {
      events.start("/api/v1/history?limit=100", signal, () => true);
    },
  };
}
