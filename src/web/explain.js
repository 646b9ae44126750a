// What dig sees now: what a name would be answered with, from which rule, and who is in or out, and why.

import { get, live } from "./api.js";
import { count, el, fill, marked, say, throttled } from "./dom.js";
import { server } from "./overview.js";

const TYPES = ["A", "AAAA", "SRV", "PTR", "TXT", "NS", "SOA", "CNAME", "MX", "ANY"];
/** Milliseconds between two looks while much happens. */
const PAUSE_MS = 400;
/** Instances that are shown of those that are in, and of those that are out. */
const ROWS = 100;

/** What dig would be told to ask. */
function digLine(name, type) {
  const [first = "127.0.0.1:53"] = server.overview?.dns || [];
  const at = first.lastIndexOf(":");
  const host = first.slice(0, at).replace(/^\[|\]$/g, "");
  const port = first.slice(at + 1);
  return `dig ${port === "53" ? "" : `-p ${port} `}@${host} ${name} ${type}`;
}

/** A line to copy. */
function copyable(text) {
  const code = el("code", {}, text);
  const button = el("button", { type: "button", class: "plain", onclick: copy }, "Copy");
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
export function explained(told, withMembers) {
  const { name, type, rcode, rule, because, answer, authority, errors, flags } = told;
  const head = rcode === null ? "Others have to be asked first" : `${rcode} · ${count(answer.length + told.more_records, "record")}`;
  const notes = [told.ttl_because, told.fits_udp === false && "Over UDP it is cut: clients ask again over TCP.", ...errors.map((error) => `Extended error ${error}`)];
  const records = [...answer, ...authority];
  return [
    el("p", { class: "verdict" }, el("span", { class: `pill ${rcode === "NOERROR" && answer.length ? "good" : "warn"}` }, head), " ", marked(because.charAt(0).toUpperCase() + because.slice(1)), ". ", el("span", { class: "quiet" }, `rule ${rule} · flags ${flags.join(" ") || "none"}`)),
    copyable(digLine(name, type)),
    records.length ? el("pre", { class: "records", tabindex: "0", role: "region", "aria-label": "Records" }, records.join("\n")) : null,
    told.more_records ? el("p", { class: "quiet" }, `and ${told.more_records} more`) : null,
    notes.filter(Boolean).map((note) => el("p", { class: "quiet" }, note)),
    told.did_you_mean ? el("p", {}, "Did you mean ", el("a", { href: `#/services/${encodeURIComponent(told.did_you_mean)}` }, told.did_you_mean), "?") : null,
    withMembers ? members(told) : null,
  ];
}

function members({ instances, more_instances: more }) {
  if (!instances.length) return null;
  const groups = [["In the answer", true], ["Not in it", false]].map(([title, isIn]) => {
    const all = instances.filter((one) => one.in === isIn);
    if (!all.length) return null;
    const shown = all.slice(0, ROWS).map((one) => el("li", { class: isIn ? "good" : "bad" }, el("p", {}, el("span", { class: "id" }, one.id), " ", el("span", { class: "quiet" }, one.addresses.join(", "))), el("p", { class: "quiet" }, one.why)));
    const left = all.length - ROWS + (isIn ? 0 : more);
    return [el("h2", {}, `${title}: ${all.length}`), el("ul", { class: "timeline" }, shown), left > 0 ? el("p", { class: "quiet" }, `and ${left} more`) : null];
  });
  return el("div", { class: "halves" }, groups.filter(Boolean).map((group) => el("section", {}, group)));
}

/** The page: any name and type. */
export function explainPage(name, type) {
  const input = el("input", { id: "name", value: name, required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "none" });
  const select = el("select", { id: "type" }, TYPES.map((one) => el("option", { value: one, selected: one === type }, one)));
  const result = el("section", { class: "card", "aria-live": "polite", hidden: true });
  const submit = (event) => {
    event.preventDefault();
    location.hash = `#/explain?name=${encodeURIComponent(input.value.trim())}&type=${select.value}`;
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
    start(signal, fail) {
      if (!name) return;
      let service = null;
      const read = throttled(async () => {
        try {
          const told = await get(`/api/v1/explain?name=${encodeURIComponent(name)}&type=${encodeURIComponent(type)}`, signal);
          service = told.service;
          fill(result, explained(told, true));
          result.hidden = false;
        } catch (error) {
          if (error.name === "AbortError") return;
          if (error.status !== 422) return fail(error);
          fill(result, el("p", { class: "bad" }, error.message));
          result.hidden = false;
        }
      }, PAUSE_MS);
      live.addEventListener("event", ({ detail }) => detail.service === service && read(), { signal });
      live.addEventListener("gap", read, { signal });
      read();
    },
  };
}
