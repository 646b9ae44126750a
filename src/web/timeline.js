// What happened, newest first: read from the history, and added to as it happens.

import { get, live } from "./api.js";
import { clock, el, fill } from "./dom.js";

/** Events that are shown at most. */
const MOST = 100;

const WORDS = {
  registered: "registered",
  changed: "changed",
  state_changed: "changed its state",
  overridden: "was overridden",
  override_ended: "is no longer overridden",
  deregistered: "deregistered",
  lapsed: "lapsed",
  held: "is held by the brake",
  revived: "was revived",
  expired: "expired",
};
const KINDS = { registered: "good", revived: "good", lapsed: "bad", expired: "bad", held: "warn", overridden: "warn", deregistered: "note" };

/** A timeline; `withService`: of all services, each of which is named. */
export function timeline({ heading, withService }) {
  const list = el("ol", { class: "timeline" });
  const empty = el("p", { class: "quiet" }, "Nothing is known to have happened.");
  const more = el("button", { type: "button", class: "plain", hidden: true }, "Show older ones");
  const element = el("section", { class: "card events" }, el("h2", {}, heading), empty, list, more);
  const seen = new Set();

  function add(events, atEnd) {
    const fresh = events.filter((event) => !seen.has(event.revision));
    fresh.forEach((event) => seen.add(event.revision));
    const items = fresh.map((event) => item(event, withService));
    if (atEnd) list.append(...items);
    else list.prepend(...items.reverse());
    empty.hidden = list.childElementCount > 0;
  }

  return {
    element,
    start(path, signal, isAbout) {
      let next = null;
      const read = async () => {
        try {
          const page = await get(path, signal);
          seen.clear();
          fill(list);
          add(page.events, true);
          next = page.next;
          more.hidden = !next;
        } catch (error) {
          if (error.name !== "AbortError") empty.textContent = error.message;
        }
      };
      more.onclick = async () => {
        if (!next) return;
        const page = await get(next, signal);
        add(page.events, true);
        next = page.next;
        more.hidden = !next;
      };
      live.addEventListener("event", ({ detail }) => {
        if (!isAbout(detail)) return;
        add([detail], false);
        // Older ones are a button away.
        if (list.childElementCount > MOST && more.hidden) {
          list.lastElementChild.remove();
        }
      }, { signal });
      live.addEventListener("gap", read, { signal });
      read();
    },
  };
}

function item(event, withService) {
  const { service, id, event: kind, reason, changed = [], by, answering, unix_ms: unixMs } = event;
  const who = by.principal === null ? "the server" : `${by.principal} · ${by.door} · ${by.source}`;
  const about = withService
    ? [el("a", { href: `#/services/${encodeURIComponent(service)}` }, service), " / ", el("span", { class: "id" }, id)]
    : [el("span", { class: "id" }, id)];
  const why = [changed.join(", "), reason].filter(Boolean).join(": ");
  return el(
    "li",
    { class: KINDS[kind] || "note", "data-revision": event.revision },
    el("p", {}, about, " ", el("strong", {}, WORDS[kind] || kind), why ? ["; ", el("q", {}, why)] : null),
    el("p", { class: "quiet" }, el("time", { datetime: new Date(unixMs).toISOString() }, clock(unixMs)), ` · ${answering ? "answering" : "not answering"} · ${who}`),
  );
}
