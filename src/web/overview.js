// What the server says of itself: figures for pages, and what everybody who looks is to know.

import { get } from "./api.js";
import { el, fill, say, throttled } from "./dom.js";

const notices = document.getElementById("notices");
const about = document.getElementById("about");

/** What the server says of itself, once it did; `overview` is told of to the window when it does. */
export const server = { overview: null };

/** What everybody is to know: changes that are refused, the brake, doors that are open. */
export const readOverview = throttled(async () => {
  try {
    server.overview = await get("/api/v1/overview");
  } catch {
    return; // a page says so, or who may read some services alone is not told
  }
  const { version, changes_refused: refused, brake, insecure, dns } = server.overview;
  const notes = [];
  if (refused) notes.push(["bad", `Changes are refused: ${refused}. Answers, renewals and expiry go on.`]);
  if (brake.global) notes.push(["warn", "The brake holds instances of all services: more than half of the leases lapsed together."]);
  else if (brake.services) notes.push(["warn", `The brake holds instances of ${brake.services === 1 ? "a service" : `${brake.services} services`} whose leases lapsed together.`]);
  if (insecure.length) notes.push(["warn", `Doors are open to everybody by ${insecure.join(", ")}.`]);
  if (notices.dataset.shown !== JSON.stringify(notes)) {
    notices.dataset.shown = JSON.stringify(notes);
    fill(notices, notes.map(([kind, text]) => el("p", { class: `notice ${kind}` }, text)));
  }
  say(about, `Rollcall ${version} · DNS at ${dns.join(", ")}`);
  dispatchEvent(new CustomEvent("overview"));
}, 1000);
