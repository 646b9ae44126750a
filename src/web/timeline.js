// What happened, newest first: read from the history, and added to as it happens.

import { get } from "./api.js";
import { arrange, el, say } from "./dom.js";
import { keepInStep, live } from "./live.js";
import { teller } from "./trouble.js";
import { clock, link } from "./words.js";

/** Events that are shown at first, and how many more each time. */
const STEP = 50;

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
const KINDS = { registered: "good", revived: "good", lapsed: "bad", expired: "bad", held: "warn", overridden: "warn" };

/** A timeline; `isOfAll`: of all services, each of which is named. */
export function timeline({ heading, isOfAll }) {
  const known = new Map();
  const list = el("ol", { class: "timeline" });
  const empty = el("p", { class: "quiet" }, "Reading…");
  const end = el("p", { class: "quiet", hidden: true });
  const more = el("button", { type: "button", class: "plain", hidden: true }, "Show older ones");
  const element = el("section", { class: "card events" }, el("h2", {}, heading), empty, list, end, more);
  let most = STEP;
  let hasOlder = false;
  let arrived = [];

  function draw() {
    const newest = [...known.keys()].sort((one, other) => other - one);
    for (const revision of newest.splice(most)) {
      known.delete(revision);
      hasOlder = true;
    }
    arrange(list, newest.map((revision) => known.get(revision)));
    say(empty, "Nothing is known to have happened.");
    empty.hidden = newest.length > 0;
    more.hidden = !hasOlder;
  }

  function add(events) {
    for (const event of events) if (!known.has(event.revision)) known.set(event.revision, item(event, isOfAll));
  }

  /** Much may happen between two frames, and nothing is drawn while nobody looks. */
  function arrive(event) {
    if (arrived.push(event) === 1) {
      setTimeout(() => {
        add(arrived.slice(-most));
        arrived = [];
        draw();
      }, 50);
    }
  }

  return {
    element,
    /** Begins with what is asked of the history: `service`, `id`. */
    start({ service, id }, signal) {
      const page = (before) => {
        const asked = new URLSearchParams({ limit: STEP });
        for (const [key, value] of Object.entries({ service, id, before })) if (value) asked.set(key, value);
        return get(`/api/v1/history?${asked}`, signal);
      };
      const isAbout = (event) => (!service || event.service === service) && (!id || event.id === id);
      keepInStep(async () => {
        const { events, next, complete_since: since } = await page();
        const newest = Math.max(...known.keys());
        // More happened meanwhile than a page holds: what is between is not there.
        if (known.size && next && !(events.at(-1).revision <= newest)) known.clear();
        if (!known.size) hasOlder = next !== null;
        add(events);
        draw();
        end.hidden = hasOlder || since === 0;
        say(end, "Older events may have been forgotten.");
        return events[0]?.revision ?? 0;
      }, { signal, tell: teller(heading) });
      more.onclick = async () => {
        more.disabled = true;
        try {
          const { events, next, complete_since: since } = await page(Math.min(...known.keys()));
          most += STEP;
          add(events);
          hasOlder = next !== null;
          draw();
          end.hidden = hasOlder || since === 0;
          // The button goes when all are shown, and leaves the reader with what it brought.
          if (more.hidden) list.lastElementChild?.querySelector("a, [tabindex]")?.focus();
        } catch (error) {
          teller(heading)(error);
        }
        more.disabled = false;
      };
      live.addEventListener("event", ({ detail }) => isAbout(detail) && arrive(detail), { signal });
    },
  };
}

/** An event as a sentence: who, what, why; below it when, by whom, and how it stands since. */
function item({ revision, service, id, event, reason, changed = [], by, answering, state, unix_ms: unixMs }, isOfAll) {
  const name = el("a", { class: "id", href: link(["services", service], { find: id }) }, id);
  const about = isOfAll ? [el("a", { href: link(["services", service]) }, service), " / ", name] : name;
  const why = [changed.join(", "), reason].filter(Boolean).join(": ");
  const since = state === null ? "off the list" : answering ? "answering" : "not answering";
  return el(
    "li",
    { class: KINDS[event] || "note", "data-revision": revision },
    el("p", {}, about, " ", el("strong", {}, WORDS[event] || event), why ? [": ", el("q", {}, why)] : null),
    el("p", { class: "quiet" }, el("time", { datetime: new Date(unixMs).toISOString() }, clock(unixMs)), ` · ${since} · ${doer(by)}`),
  );
}

/** Who did it. The port that somebody called from says nothing to people; programs are told. */
function doer({ principal, door, source }) {
  if (principal === null) return "by the server";
  const from = source.replace(/^\[?(.*?)\]?:\d+$/, "$1");
  return `by ${principal}, ${door}, ${from}`;
}
