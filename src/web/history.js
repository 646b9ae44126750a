// What happened to all instances, or to those of a service, or to one.

import { el } from "./dom.js";
import { timeline } from "./timeline.js";
import { link } from "./words.js";

/** The page; `service` and `id` are whose history it is. */
export function historyPage({ service = "", id = "" }) {
  const events = timeline({ heading: "Events, newest first", isOfAll: !service });
  const field = (name, label, value, note) => {
    const input = el("input", { id: name, value, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
    return { input, element: el("div", {}, el("label", { for: name }, label), input, el("p", { class: "quiet" }, note)) };
  };
  const ofService = field("service", "Service", service, "Left out: all of them.");
  const ofInstance = field("instance", "Instance", id, "Its id; it goes with a service.");
  const submit = (event) => {
    event.preventDefault();
    const wanted = ofService.input.value.trim().toLowerCase();
    location.hash = link(["history"], { service: wanted, id: wanted && ofInstance.input.value });
  };
  const button = el("button", { type: "submit" }, "Show");
  const form = el("form", { class: "card ask two", onsubmit: submit }, ofService.element, ofInstance.element, button);
  const whose = [service, id].filter(Boolean).join(" / ");
  return {
    element: el("div", {}, el("h1", {}, whose ? `History of ${whose}` : "History"), form, events.element),
    start(signal) {
      events.start({ service, id: service && id }, signal);
    },
  };
}
