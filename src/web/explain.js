// What dig sees now: what a name would be answered with, from which rule, and who is in or out, and why.

import { get } from "./api.js";
import { chooser, el, fill, marked, say } from "./dom.js";
import { keepInStep, live } from "./live.js";
import { digLine } from "./overview.js";
import { teller } from "./trouble.js";
import { capital, count, link } from "./words.js";

const TYPES = ["A", "AAAA", "SRV", "PTR", "TXT", "NS", "SOA", "CNAME", "MX", "ANY"];
/** Milliseconds between two looks while much happens, and at most while nothing does: TTLs fall with the leases. */
const PAUSE_MS = 400;
const LOOK_MS = 5000;
/** Instances that are shown of those that are in, and of those that are out. */
const ROWS = 100;

/** A line to copy. */
function copyable(text) {
  const code = el("code", {}, text);
  const button = el("button", { type: "button", class: "plain small", onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      say(button, "Copied");
    } catch {
      // Only secure pages may; the text is selected instead.
      getSelection().selectAllChildren(code);
      say(button, "Selected");
    }
    setTimeout(() => say(button, "Copy"), 2000);
  }
  return el("p", { class: "copy" }, code, button);
}

/** Shows what the server explains of a name; `withMembers`: also who is in and out. */
function explained(told, withMembers) {
  const { name, type, rcode, rule, because, answer, authority, errors, flags } = told;
  const number = answer.length + told.more_records;
  const size = number ? ` · ${count(number, "record")}` : rcode === "NOERROR" ? " · no records" : "";
  const head = rcode === null ? "Others have to be asked first" : rcode + size;
  const notes = [
    told.ttl_because && `TTL: ${told.ttl_because}.`,
    told.fits_udp === false && "Over UDP it is cut: clients ask again over TCP.",
    ...errors.map((error) => `Extended DNS Error ${error}.`),
    `Rule: ${rule}. Flags: ${flags.join(" ") || "none"}.`,
  ];
  const records = [...answer, ...authority];
  const kind = rcode === "NOERROR" && answer.length ? "good" : "warn";
  return [
    el("p", { class: "verdict" }, el("span", { class: `pill ${kind}` }, head), " ", marked(capital(because)), "."),
    copyable(digLine(name, type)),
    records.length ? el("pre", { class: "records", tabindex: "0", role: "region", "aria-label": "Records" }, records.join("\n")) : null,
    told.more_records ? el("p", { class: "quiet" }, `and ${told.more_records.toLocaleString("en")} more`) : null,
    notes.filter(Boolean).map((note) => el("p", { class: "quiet" }, note)),
    told.did_you_mean ? el("p", {}, "Did you mean ", el("a", { href: link(["services", told.did_you_mean]) }, told.did_you_mean), "?") : null,
    withMembers ? members(told) : null,
  ];
}

function members({ instances, more_instances: more }) {
  if (!instances.length) return null;
  const groups = [["In the answer", true], ["Not in it", false]].map(([title, isIn]) => {
    const all = instances.filter((one) => one.in === isIn);
    if (!all.length) return null;
    const shown = all.slice(0, ROWS).map(({ service, id, addresses, why }) => {
      const name = el("a", { class: "id", href: link(["services", service], { find: id }) }, id);
      const where = el("span", { class: "quiet" }, addresses.join(", "));
      return el("li", { class: isIn ? "good" : "bad" }, el("p", {}, name, " ", where), el("p", { class: "quiet" }, capital(why)));
    });
    const left = all.length - shown.length + (isIn ? 0 : more);
    return [
      el("h2", {}, `${title}: ${all.length.toLocaleString("en")}`),
      el("ul", { class: "timeline members" }, shown),
      left > 0 ? el("p", { class: "quiet" }, `and ${left.toLocaleString("en")} more`) : null,
    ];
  });
  return el("div", { class: "halves" }, groups.filter(Boolean).map((group) => el("section", {}, group)));
}

/** Keeps what is shown of an answer as it is now. It is drawn anew only when it has changed, so that who copies from it can. */
function keepExplained(place, asked, withMembers, { signal, tell }) {
  let drawn = "";
  let line = "";
  let about = null;
  const again = keepInStep(async () => {
    const { name, type } = asked();
    let shown;
    try {
      shown = await get(`/api/v1/explain?${new URLSearchParams({ name, type })}`, signal);
    } catch (error) {
      // No name, or no type: the server says which.
      if (error.status !== 422) throw error;
      shown = { refused: error.message };
    }
    about = shown.service;
    line = digLine("", "");
    // What is left of leases is not shown here.
    const key = JSON.stringify([shown, line], (field, value) => (field === "expires_in_ms" ? null : value));
    if (key !== drawn) {
      const focus = place.contains(document.activeElement) && document.activeElement.tagName;
      fill(place, shown.refused ? el("p", { class: "bad" }, shown.refused) : explained(shown, withMembers));
      if (focus) place.querySelector(focus)?.focus({ preventScroll: true });
    }
    drawn = key;
    return 0;
  }, { signal, tell, pauseMs: PAUSE_MS, rest: 4 });
  const timer = setInterval(() => document.hidden || again(), LOOK_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  addEventListener("overview", () => line === digLine("", "") || again(), { signal });
  live.addEventListener("event", ({ detail }) => (!about || detail.service === about) && again(), { signal });
  return again;
}

/** What dig sees of a service, beside what is listed of it. */
export function seenByDig(service) {
  let again = () => {};
  const types = chooser("Type", ["A", "AAAA", "SRV"].map((type) => [type, type]), "A", () => again());
  const place = el("div", { class: "dig" }, el("p", { class: "quiet" }, "Reading…"));
  const element = el("section", { class: "card" }, el("div", { class: "row" }, el("h2", {}, "What dig sees now"), types.element), place);
  return {
    element,
    start(signal) {
      again = keepExplained(place, () => ({ name: service, type: types.chosen }), false, { signal, tell: teller("explain") });
    },
  };
}

/** The page: any name and type. */
export function explainPage({ name = "", type = "A" }) {
  const chosen = type.toUpperCase();
  const types = TYPES.includes(chosen) ? TYPES : [chosen, ...TYPES];
  const input = el("input", { id: "name", value: name, required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "none" });
  const select = el("select", { id: "type" }, types.map((one) => el("option", { value: one, selected: one === chosen }, one)));
  const result = el("section", { class: "card", "aria-label": "Answer", hidden: !name }, el("p", { class: "quiet" }, "Reading…"));
  const submit = (event) => {
    event.preventDefault();
    location.hash = link(["explain"], { name: input.value.trim(), type: select.value });
  };
  const form = el(
    "form",
    { class: "card ask", onsubmit: submit },
    el("div", {}, el("label", { for: "name" }, "Name"), input, el("p", { class: "quiet" }, "One without a dot is in the first zone.")),
    el("div", {}, el("label", { for: "type" }, "Type"), select),
    el("button", { type: "submit" }, "Explain"),
  );
  return {
    element: el("div", {}, el("h1", {}, "Explain an answer"), form, result),
    start(signal) {
      if (!name) return input.focus();
      keepExplained(result, () => ({ name, type: chosen }), true, { signal, tell: teller("explain") });
    },
  };
}
