// All services: how many instances each has, and how many of them are answering; what happened last.

import { pages } from "./api.js";
import { arrange, chooser, el, finder, say, shareBar } from "./dom.js";
import { keepInStep, live } from "./live.js";
import { server } from "./overview.js";
import { timeline } from "./timeline.js";
import { teller } from "./trouble.js";
import { count, inOrder, link } from "./words.js";

/** Rows that are shown at once: more are a button away. */
const ROWS = 200;

/** Which services are looked at, by how many of their instances are answering. */
const KINDS = [
  ["", "All", () => true],
  ["none", "None answering", (one) => one.answering === 0],
  ["some", "Some not answering", (one) => one.answering > 0 && one.answering < one.instances],
];

/** The page; `find` and `show` are what is looked for at first. */
export function servicesPage({ find = "", show = "" }) {
  let services = null;
  let isWhole = false;
  let shownRows = ROWS;
  const rows = new Map();
  const tiles = el("dl", { class: "tiles" });
  const search = finder("Find a service", find, changed);
  const kinds = chooser("Which services", KINDS, show, changed);
  const body = el("tbody");
  const found = el("p", { class: "quiet found", role: "status" }, "Reading…");
  const more = el("button", { type: "button", class: "plain", hidden: true, onclick: () => draw((shownRows += ROWS)) });
  const table = el(
    "table",
    { class: "list", hidden: true },
    el("caption", { class: "hidden" }, "Services"),
    el("thead", {}, el("tr", {}, ["Service", "Answering", "Instances"].map((title) => el("th", { scope: "col" }, title)))),
    body,
  );
  const events = timeline({ heading: "What happened last", isOfAll: true });
  const card = el("section", { class: "card", "aria-label": "List of services" }, search.element, kinds.element, found, table, more);
  const element = el("div", {}, el("h1", {}, "Services"), tiles, el("div", { class: "columns" }, card, events.element));

  function changed() {
    shownRows = ROWS;
    history.replaceState(null, "", link([], { find: search.input.value.trim(), show: kinds.chosen }));
    draw();
  }

  function draw() {
    if (!services) return;
    const wanted = search.input.value.trim().toLowerCase();
    const named = services.filter((one) => one.service.includes(wanted));
    kinds.show(Object.fromEntries(KINDS.map(([key, , isOf]) => [key, named.filter(isOf).length])));
    const isOf = KINDS.find(([key]) => key === kinds.chosen)[2];
    const all = named.filter(isOf);
    const shown = all.slice(0, shownRows).map(({ service, instances, answering }) => {
      if (!rows.has(service)) rows.set(service, new Row(service));
      return rows.get(service).show(instances, answering);
    });
    arrange(body, shown);
    const some = all.length < services.length ? ` of ${services.length.toLocaleString("en")}` : "";
    const none = services.length ? "There is no such service." : "Nothing is registered yet.";
    say(found, all.length ? count(all.length, "service") + some : none);
    table.hidden = all.length === 0;
    more.hidden = all.length <= shownRows;
    say(more, `Show ${Math.min(ROWS, all.length - shownRows)} more`);
    drawTiles();
  }

  /** Where the server does not say how many there are of all, as to somebody who may read some alone, those are counted. */
  function drawTiles() {
    const sum = (key) => (services ?? []).reduce((sum, one) => sum + one[key], 0);
    const figures = server.overview?.figures ?? { services: services?.length ?? 0, instances: sum("instances"), answering: sum("answering") };
    if (!server.overview?.figures && !services) return;
    const { instances, answering, draining, down, suspect, held } = figures;
    const out = instances - answering;
    const parts = [[draining, "draining"], [down, "down"], [suspect, "lapsed"]].filter(([number]) => number);
    drawTile(tiles, 0, "Services", figures.services);
    drawTile(tiles, 1, "Instances", instances);
    drawTile(tiles, 2, "Answering", answering, held ? `${held.toLocaleString("en")} held by the brake` : "", held ? "warn" : "");
    drawTile(tiles, 3, "Not answering", out, parts.map(([number, word]) => `${number.toLocaleString("en")} ${word}`).join(", "), out ? "bad" : "");
  }

  return {
    element,
    start(signal) {
      const read = keepInStep(async () => {
        const all = [];
        const revision = await pages("/api/v1/services", (page) => {
          all.push(...page.services);
          // The first page of a long list is shown at once.
          if (isWhole) return;
          services = [...all];
          draw();
        }, signal);
        // What has none left to answer is what somebody has to look at.
        isWhole = true;
        services = all.sort((one, other) => (one.answering > 0) - (other.answering > 0) || inOrder(one.service, other.service));
        const there = new Set(all.map((one) => one.service));
        for (const service of rows.keys()) if (!there.has(service)) rows.delete(service);
        draw();
        return revision;
      }, { signal, tell: teller("services") });
      live.addEventListener("event", read, { signal });
      addEventListener("overview", drawTiles, { signal });
      drawTiles();
      events.start({}, signal);
    },
  };
}

/** Shows a figure; the tile stays, so that it is read out when it is looked for and not each time. */
function drawTile(tiles, at, name, value, note = null, kind = "") {
  const parts = () => [el("dt", {}, name), el("dd", { class: "figure" }), note !== null && el("dd", { class: "note" })];
  const tile = tiles.children[at] ?? tiles.appendChild(el("div", {}, parts()));
  tile.className = `tile ${kind}`;
  say(tile.children[1], value.toLocaleString("en"));
  if (note !== null) say(tile.children[2], note);
}

/** A service in the list. */
class Row {
  #bar = shareBar();
  #answering = el("span");
  #instances = el("td", { class: "number" });

  constructor(service) {
    const name = el("a", { href: link(["services", service]) }, service);
    const share = el("td", { class: "share-cell" }, this.#bar.element, this.#answering);
    this.element = el("tr", {}, el("th", { scope: "row" }, name), share, this.#instances);
  }

  show(instances, answering) {
    this.#bar.show(answering, instances);
    say(this.#answering, answering === 0 ? "none" : answering.toLocaleString("en"));
    say(this.#instances, instances.toLocaleString("en"));
    return this.element;
  }
}
