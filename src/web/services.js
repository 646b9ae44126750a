// All services: how many instances each has, and how many of them are answering; what happened last.

import { get, live, pages } from "./api.js";
import { count, el, fill, say, throttled } from "./dom.js";
import { server } from "./overview.js";
import { timeline } from "./timeline.js";

/** Rows that are shown at once: more are a button away. */
const ROWS = 200;
/** Milliseconds between two looks at the list while much happens. */
const PAUSE_MS = 400;

/** The page; `find` is what is looked for at first. */
export function servicesPage(find) {
  let services = [];
  let shownRows = ROWS;
  let isRead = false;
  const tiles = el("dl", { class: "tiles" });
  const search = el("input", { id: "find", type: "search", value: find, autocomplete: "off", spellcheck: "false", oninput: () => { shownRows = ROWS; draw(); } });
  const body = el("tbody");
  const found = el("p", { class: "quiet", role: "status" });
  const more = el("button", { type: "button", class: "plain", hidden: true, onclick: () => { shownRows += ROWS; draw(); } });
  const table = el(
    "table",
    { class: "list" },
    el("caption", { class: "hidden" }, "Services"),
    el("thead", {}, el("tr", {}, ["Service", "Answering", "Instances"].map((title) => el("th", { scope: "col" }, title)))),
    body,
  );
  const events = timeline({ heading: "What happened last", withService: true });
  const element = el(
    "div",
    { class: "columns" },
    el(
      "div",
      {},
      el("h1", {}, "Services"),
      tiles,
      el("div", { class: "card" }, el("div", { class: "find" }, el("label", { for: "find" }, "Find a service"), search), found, table, more),
    ),
    events.element,
  );

  function matching() {
    const wanted = search.value.trim().toLowerCase();
    const all = wanted ? services.filter((one) => one.service.includes(wanted)) : services;
    // What has none left to answer is what somebody has to look at.
    return all.toSorted((one, other) => (one.answering > 0) - (other.answering > 0) || one.service.localeCompare(other.service));
  }

  function draw() {
    if (!isRead) return;
    const all = matching();
    fill(body, all.slice(0, shownRows).map(row));
    const none = services.length ? "No service has such a name." : "Nothing is registered yet.";
    say(found, all.length === 0 ? none : search.value ? `${count(all.length, "service")} of ${services.length}` : count(all.length, "service"));
    table.hidden = all.length === 0;
    more.hidden = all.length <= shownRows;
    say(more, `Show ${Math.min(ROWS, all.length - shownRows)} more`);
  }

  function drawTiles() {
    const { overview } = server;
    if (!overview) return;
    const { instances, answering, draining, down, suspect, held } = overview;
    const figures = [["Services", overview.services], ["Instances", instances], ["Answering", answering], ["Draining", draining], ["Down", down], ["Lapsed", suspect], ["Held by the brake", held]];
    fill(tiles, figures.map(([name, value]) => el("div", { class: tileClass(name, value) }, el("dt", {}, name), el("dd", {}, value.toLocaleString("en")))));
  }

  return {
    element,
    start(signal, fail) {
      const read = throttled(async () => {
        const all = [];
        try {
          await pages("/api/v1/services", (page) => {
            all.push(...page.services);
            if (!isRead) {
              services = all;
              isRead = true;
              draw();
            }
          }, signal);
          services = all;
          isRead = true;
          draw();
        } catch (error) {
          fail(error);
        }
      }, PAUSE_MS);
      live.addEventListener("event", read, { signal });
      live.addEventListener("gap", read, { signal });
      live.addEventListener("connection", read, { signal });
      addEventListener("overview", drawTiles, { signal });
      drawTiles();
      read();
      events.start("/api/v1/history?limit=50", signal, () => true);
    },
  };
}

function tileClass(name, value) {
  if (name === "Held by the brake" && value) return "tile warn";
  if ((name === "Lapsed" || name === "Down") && value) return "tile note";
  return "tile";
}

function row({ service, instances, answering }) {
  const kind = answering === 0 ? "bad" : answering < instances ? "warn" : "good";
  const bar = el("span", { class: `share ${kind}`, "aria-hidden": "true" }, el("i"));
  bar.firstChild.style.setProperty("inline-size", `${(100 * answering) / instances}%`);
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("a", { href: `#/services/${encodeURIComponent(service)}` }, service)),
    el("td", { class: "share-cell" }, bar, el("span", {}, answering === 0 ? "none" : String(answering))),
    el("td", { class: "number" }, String(instances)),
  );
}
