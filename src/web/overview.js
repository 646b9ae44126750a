// What the server says of itself: figures for pages, and what everybody who looks is to know.

import { get } from "./api.js";
import { el, fill, say } from "./dom.js";
import { tell } from "./trouble.js";
import { count } from "./words.js";

const notices = document.getElementById("notices");
const about = document.getElementById("about");
/** Milliseconds between two looks while much happens. */
const PAUSE_MS = 1000;

/** What the server says of itself, once it did; `overview` is told of to the window when it does. */
export const server = { overview: null };

let isReading = false;
let isWanted = false;

// What one token may see is not for the next.
addEventListener("asking", () => {
  server.overview = null;
  delete notices.dataset.shown;
  fill(notices);
  fill(about);
});

/** Reads it, and once more for all who ask meanwhile. What else fails than the token is said by the pages, whose calls fail too. */
export async function readOverview() {
  if (isReading) {
    isWanted = true;
    return;
  }
  isReading = true;
  isWanted = false;
  try {
    server.overview = await get("/api/v1/overview");
    draw();
  } catch (error) {
    if (error.status === 401) tell("overview", error);
  }
  setTimeout(() => {
    isReading = false;
    if (isWanted) readOverview();
  }, PAUSE_MS);
}

function draw() {
  const { version, changes_refused: refused, figures, insecure, dns } = server.overview;
  const notes = [];
  if (refused) notes.push(["bad", `Changes are refused: ${refused}. Answers, renewals and expiry go on.`]);
  if (figures?.brake.global || figures?.brake.services) notes.push(["warn", braked(figures)]);
  if (insecure.length) notes.push(["warn", `Doors are open to everybody by ${insecure.join(", ")}.`]);
  if (notices.dataset.shown !== JSON.stringify(notes)) {
    notices.dataset.shown = JSON.stringify(notes);
    fill(notices, notes.map(([kind, text]) => el("p", { class: `notice ${kind}` }, text)));
  }
  say(about, `Rollcall ${version} · DNS at ${dns.join(", ")}`);
  dispatchEvent(new CustomEvent("overview"));
}

function braked({ brake, held }) {
  const howMany = `${count(held, "instance is", "instances are")} held.`;
  if (brake.global) return `The brake holds instances of all services: more than half of the leases lapsed together. ${howMany}`;
  const services = brake.services === 1 ? "a service" : `${brake.services} services`;
  return `The brake holds instances of ${services} whose leases lapsed together. ${howMany}`;
}

/** What dig would be told to ask this server. */
export function digLine(name, type) {
  const [first = ""] = server.overview?.dns ?? [];
  const at = first.lastIndexOf(":");
  const [host, port] = [first.slice(0, at).replace(/^\[|\]$/g, ""), first.slice(at + 1)];
  // One that listens everywhere is asked where this page came from.
  const asked = host === "0.0.0.0" || host === "::" ? location.hostname.replace(/^\[|\]$/g, "") : host;
  const parts = ["dig", port && port !== "53" && `-p ${port}`, asked && `@${asked}`, name, type];
  return parts.filter(Boolean).join(" ");
}
