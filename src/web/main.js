// Begins: which page is shown, and what stands around it.

import { Refused, live, setToken } from "./api.js";
import { el, fill, say } from "./dom.js";
import { explainPage } from "./explain.js";
import { historyPage } from "./history.js";
import { readOverview } from "./overview.js";
import { servicePage } from "./service.js";
import { servicesPage } from "./services.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");

let controller = new AbortController();

/** The page that the address names: what shows it, and which link leads to it. */
function route() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  const asked = new URLSearchParams(query);
  if (parts[0] === "services" && parts[1]) return ["services", parts[1], () => servicePage(parts[1])];
  if (parts[0] === "history") return ["history", "History", () => historyPage()];
  if (parts[0] === "explain") {
    return ["explain", "Explain", () => explainPage(asked.get("name") || "", asked.get("type") || "A")];
  }
  return ["services", "Services", () => servicesPage(asked.get("find") || "")];
}

/** Shows the page; `isNew`: somebody went there, and reads from its heading on. */
function show(isNew) {
  controller.abort();
  controller = new AbortController();
  const [page, title, build] = route();
  document.title = `${title} · Rollcall`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const shown = build();
  fill(main, shown.element);
  shown.start(controller.signal, fail);
  if (isNew) main.focus({ preventScroll: true });
  if (isNew) scrollTo(0, 0);
}

/** Says why a page has nothing to show; asks for a token where that would help. */
function fail(error) {
  if (error.name === "AbortError") return;
  if (error instanceof Refused && error.status === 401) return askForToken(error.message);
  const title = error instanceof Refused ? "The server refused" : "The server cannot be reached";
  let box = document.getElementById("trouble");
  if (!box) {
    box = el("section", { id: "trouble", class: "card bad", role: "alert" });
    main.prepend(box);
  }
  fill(box, el("h2", {}, title), el("p", {}, error.message));
}

function askForToken(why) {
  const input = el("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const submit = (event) => {
    event.preventDefault();
    setToken(input.value.trim());
    begin();
  };
  fill(
    main,
    el(
      "form",
      { class: "card narrow", onsubmit: submit },
      el("h1", {}, "A token is needed"),
      el("p", {}, why),
      el("label", { for: "token" }, "Token"),
      input,
      el("p", { class: "quiet" }, "It is kept for this tab alone, until it is closed. ", el("code", {}, "rollcall token create"), " makes one; reading is enough."),
      el("button", { type: "submit" }, "Use it"),
    ),
  );
  input.focus();
}

function begin() {
  live.start();
  readOverview();
  show(false);
}

live.addEventListener("connection", ({ detail: isThere }) => {
  connection.className = isThere ? "there" : "away";
  say(connection, isThere ? "Live" : "Reconnecting…");
});
live.addEventListener("event", readOverview);
live.addEventListener("gap", readOverview);
addEventListener("hashchange", () => show(true));
document.querySelector(".skip").addEventListener("click", (event) => {
  // The content is no page to go back to.
  event.preventDefault();
  main.focus();
});
// The brake lets go, and the disk is full, without an event.
setInterval(readOverview, 5000);
begin();
