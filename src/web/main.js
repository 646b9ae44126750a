// Begins: which page is shown, and what stands around it.

import { fill, say } from "./dom.js";
import { explainPage } from "./explain.js";
import { historyPage } from "./history.js";
import { live } from "./live.js";
import { readOverview } from "./overview.js";
import { servicePage } from "./service.js";
import { servicesPage } from "./services.js";
import { clear, tell, tokenButton, whenTokenChanges } from "./trouble.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const CONNECTION = { connecting: "Connecting…", live: "Live", away: "Reconnecting…" };
/** Milliseconds between two looks at what changes without an event: the brake that lets go, a disk that is full. */
const OVERVIEW_MS = 5000;

let controller = new AbortController();

/** The page that the address names: where it is in the navigation, its title, and what makes it. */
function route() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const asked = Object.fromEntries(new URLSearchParams(query));
  const [page, name] = path.split("/").filter(Boolean).map(decoded);
  if (page === "services" && name) return { page: "services", title: name, about: name, build: () => servicePage(name, asked) };
  if (page === "history") return { page, title: "History", about: asked.service || null, build: () => historyPage(asked) };
  if (page === "explain") return { page, title: "Explain", about: null, build: () => explainPage(asked) };
  return { page: "services", title: "Services", about: null, build: () => servicesPage(asked) };
}

/** A part of the address; one that was typed wrongly is taken as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Shows the page; `isNew`: somebody went there, and reads from its heading on. */
function show(isNew) {
  controller.abort();
  controller = new AbortController();
  clear();
  const { page, title, about, build } = route();
  document.title = `${title} · Rollcall`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const shown = build();
  fill(document.getElementById("page"), shown.element);
  fill(document.getElementById("token-place"), tokenButton());
  live.follow(about);
  shown.start(controller.signal);
  if (!isNew) return;
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** Looks at the overview, unless nobody sees it or a token is asked for. */
function look() {
  if (!document.hidden && !controller.signal.aborted) readOverview();
}

function begin() {
  show(false);
  readOverview();
}

live.addEventListener("connection", ({ detail }) => {
  connection.className = detail;
  say(connection, CONNECTION[detail]);
});
live.addEventListener("event", readOverview);
live.addEventListener("gap", readOverview);
// A token that was revoked while the page was open.
live.addEventListener("refused", ({ detail: error }) => tell("live", error));
addEventListener("asking", () => {
  controller.abort();
  live.stop();
  connection.className = "";
  fill(connection);
});
addEventListener("hashchange", () => show(true));
addEventListener("online", () => live.hurry());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  live.hurry();
  look();
});
// Within the page: the address is for pages.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(look, OVERVIEW_MS);
whenTokenChanges(begin);
begin();
