// One service: its instances, why each is or is not answering, what dig sees now, and what happened.

import { arrange, chooser, el, finder, say, shareBar } from "./dom.js";
import { seenByDig } from "./explain.js";
import { Instances } from "./instances.js";
import { timeline } from "./timeline.js";
import { teller } from "./trouble.js";
import { count, link } from "./words.js";

/** Instances that are shown at once: more are a button away. */
const ROWS = 100;

/** Which instances are looked at. */
const KINDS = [
  ["", "All", () => true],
  ["answering", "Answering", (one) => one.data.answering],
  ["out", "Not answering", (one) => !one.data.answering],
  ["draining", "Draining", (one) => one.state === "draining"],
  ["down", "Down", (one) => one.state === "down"],
  ["lapsed", "Lapsed", (one) => one.data.standing === "suspect"],
  ["held", "Held", (one) => one.data.standing === "held"],
];

/** The page of a service; `find` and `show` are what is looked for at first. */
export function servicePage(name, { find = "", show = "" }) {
  let shownRows = ROWS;
  const instances = new Instances(name, draw);
  const bar = shareBar();
  const summary = el("span", { role: "status" }, "Reading…");
  const search = finder("Find an instance", find, changed);
  const kinds = chooser("Which instances", KINDS, show, changed);
  const list = el("ul", { class: "instances" });
  const none = el("p", { class: "quiet", hidden: true });
  const more = el("button", { type: "button", class: "plain", hidden: true, onclick: () => draw((shownRows += ROWS)) });
  const dig = seenByDig(name);
  const events = timeline({ heading: "Timeline", isOfAll: false });
  const element = el(
    "div",
    {},
    el("p", { class: "crumbs" }, el("a", { href: "#/" }, "Services"), " /"),
    el("h1", {}, name),
    el("p", { class: "summary" }, bar.element, summary),
    el(
      "div",
      { class: "columns" },
      el("section", { class: "card" }, el("h2", {}, "Instances"), search.element, kinds.element, list, none, more),
      el("div", {}, dig.element, events.element),
    ),
  );

  function changed() {
    shownRows = ROWS;
    history.replaceState(null, "", link(["services", name], { find: search.input.value.trim(), show: kinds.chosen }));
    draw();
  }

  function draw() {
    const { all, isWhole } = instances;
    const wanted = search.input.value.trim().toLowerCase();
    const found = all.filter((one) => one.matches(wanted));
    kinds.show(Object.fromEntries(KINDS.map(([key, , isOf]) => [key, found.filter(isOf).length])));
    const isOf = KINDS.find(([key]) => key === kinds.chosen)[2];
    const matching = found.filter(isOf);
    const ranked = [0, 1, 2].flatMap((rank) => matching.filter((one) => one.rank === rank));
    arrange(list, ranked.slice(0, shownRows).map((one) => instances.shown(one)));
    none.hidden = matching.length > 0;
    say(none, !isWhole ? "Reading…" : all.length ? "There is no such instance." : "What registers in this service shows here.");
    more.hidden = matching.length <= shownRows;
    say(more, `Show ${Math.min(ROWS, matching.length - shownRows)} more`);
    const answering = all.filter((one) => one.data.answering).length;
    bar.show(answering, all.length);
    bar.element.hidden = kinds.element.hidden = isWhole && !all.length;
    const of = `${answering.toLocaleString("en")} of ${count(all.length, "instance")}`;
    if (!isWhole) say(summary, "Reading…");
    else say(summary, all.length ? `${of} ${answering === 1 ? "is" : "are"} answering` : "No instance is listed.");
  }

  return {
    element,
    start(signal) {
      instances.start(signal, teller("instances"));
      dig.start(signal);
      events.start({ service: name }, signal);
    },
  };
}
