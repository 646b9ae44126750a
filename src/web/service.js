// One service: its instances, why each is or is not answering, what dig sees now, and what happened.

import { get, live, pages } from "./api.js";
import { count, el, fill, say, throttled } from "./dom.js";
import { explained } from "./explain.js";
import { Instance } from "./instance.js";
import { server } from "./overview.js";
import { timeline } from "./timeline.js";

/** Instances that are shown at once: more are a button away. */
const ROWS = 100;
/** Milliseconds between two looks while much happens. */
const PAUSE_MS = 300;
/** Milliseconds between two looks at leases, which are renewed without an event: a page each time. */
const LEASES_MS = 3000;

/** The page of a service. */
export function servicePage(name) {
  const path = `/api/v1/services/${encodeURIComponent(name)}`;
  const instances = new Map();
  let shownRows = ROWS;
  let isWhole = false;
  const summary = el("p", { class: "summary", role: "status" });
  const search = el("input", { id: "find", type: "search", autocomplete: "off", spellcheck: "false", oninput: () => { shownRows = ROWS; draw(); } });
  const list = el("ul", { class: "instances" });
  const more = el("button", { type: "button", class: "plain", hidden: true, onclick: () => { shownRows += ROWS; draw(); } });
  const tabs = ["A", "AAAA", "SRV"].map((type) => el("button", { type: "button", class: "plain", "aria-pressed": String(type === "A"), onclick: () => choose(type) }, type));
  const dig = el("div", { class: "dig" });
  const events = timeline({ heading: "Timeline", withService: false });
  const element = el(
    "div",
    { class: "columns" },
    el(
      "div",
      {},
      el("p", { class: "crumbs" }, el("a", { href: "#/" }, "Services"), " /"),
      el("h1", {}, name),
      summary,
      el("div", { class: "card" }, el("h2", {}, "Instances"), el("div", { class: "find" }, el("label", { for: "find" }, "Find an instance"), search), list, more),
    ),
    el("div", {}, el("section", { class: "card" }, el("div", { class: "row" }, el("h2", {}, "What dig sees now"), el("div", { class: "tabs", role: "group", "aria-label": "Type" }, tabs)), dig), events.element),
  );
  let type = "A";
  let explain = () => {};

  function choose(chosen) {
    type = chosen;
    tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.textContent === type)));
    explain();
  }

  function matching() {
    const wanted = search.value.trim().toLowerCase();
    const all = [...instances.values()].filter((one) => one.matches(wanted));
    return all.sort(Instance.compare);
  }

  function draw() {
    const all = matching();
    const wanted = all.slice(0, shownRows).map((one) => one.element);
    // Elements stay where they are, so that focus, open details and running bars do.
    wanted.forEach((element, at) => {
      if (list.children[at] !== element) list.insertBefore(element, list.children[at] || null);
    });
    while (list.childElementCount > wanted.length) list.lastElementChild.remove();
    more.hidden = all.length <= shownRows;
    say(more, `Show ${Math.min(ROWS, all.length - shownRows)} more`);
    const answering = [...instances.values()].filter((one) => one.data.answering).length;
    const text = instances.size ? `${answering} of ${count(instances.size, "instance")} ${answering === 1 ? "is" : "are"} answering` : "No instance is listed.";
    say(summary, isWhole ? text : "Reading…");
  }

  function put(data) {
    const known = instances.get(data.id);
    if (known) known.update(data);
    else instances.set(data.id, new Instance(data));
  }

  async function readAll(signal) {
    const there = new Set();
    try {
      await pages(path, (page) => {
        page.instances.forEach((data) => {
          there.add(data.id);
          put(data);
        });
        if (!isWhole) draw();
      }, signal);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    for (const id of instances.keys()) if (!there.has(id)) instances.delete(id);
    isWhole = true;
    draw();
  }

  async function readOne(id, signal) {
    try {
      put(await get(`${path}/instances/${encodeURIComponent(id)}`, signal));
    } catch (error) {
      if (error.status !== 404) throw error;
      instances.delete(id);
    }
  }

  return {
    element,
    start(signal, fail) {
      let changed = new Set();
      explain = throttled(async () => {
        const zone = server.overview?.zones[0] || "";
        try {
          const told = await get(`/api/v1/explain?name=${encodeURIComponent(zone ? `${name}.${zone}` : name)}&type=${type}`, signal);
          fill(dig, explained(told, false));
        } catch (error) {
          if (error.name !== "AbortError") fill(dig, el("p", { class: "quiet" }, error.message));
        }
      }, PAUSE_MS);
      const all = throttled(() => readAll(signal).catch(fail), PAUSE_MS);
      const some = throttled(async () => {
        const ids = changed;
        changed = new Set();
        if (ids.size > 20) return all();
        try {
          await Promise.all([...ids].map((id) => readOne(id, signal)));
          draw();
        } catch (error) {
          fail(error);
        }
      }, PAUSE_MS);
      live.addEventListener("event", ({ detail }) => {
        if (detail.service !== name) return;
        explain();
        // Who is off the list is not asked for.
        if (detail.state === null) {
          instances.delete(detail.id);
          changed.delete(detail.id);
          return draw();
        }
        changed.add(detail.id);
        some();
      }, { signal });
      for (const what of ["gap", "connection"]) live.addEventListener(what, () => { all(); explain(); }, { signal });
      addEventListener("overview", explain, { signal, once: true });
      followLeases(path, signal, (data) => instances.has(data.id) && put(data));
      all();
      explain();
      events.start(`/api/v1/history?service=${encodeURIComponent(name)}&limit=50`, signal, (event) => event.service === name);
    },
  };
}

/** Looks at leases again and again, a page at a time, while somebody looks at them. */
function followLeases(path, signal, put) {
  let next = path;
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      const page = await get(next, signal);
      page.instances.forEach(put);
      next = page.next || path;
    } catch {
      next = path;
    }
  }, LEASES_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

