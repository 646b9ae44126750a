// What goes wrong, said where one looks: a refusal in the server's words, a server that is away, a token that is needed.

import { Refused, Unreached, hasToken, setToken } from "./api.js";
import { el, fill, marked } from "./dom.js";

const place = document.getElementById("trouble");
/** Who is in trouble, with which error. */
const troubles = new Map();
let begin = () => {};
let isAsking = false;

/** Tells what to do when somebody has given a token, or taken it back. */
export function whenTokenChanges(again) {
  begin = again;
}

/** Forgets all trouble: another page begins. */
export function clear() {
  troubles.clear();
  isAsking = false;
  draw();
}

/** Takes down that `who` is in trouble, or no longer (null). */
export function tell(who, error) {
  if (isAsking) return;
  if (error === null) {
    if (troubles.delete(who)) draw();
    return;
  }
  if (error.name === "AbortError") return;
  if (error instanceof Refused && error.status === 401) return ask(error.message);
  if (!(error instanceof Refused || error instanceof Unreached)) console.error(error);
  troubles.set(who, error);
  draw();
}

/** Whoever has this name tells of its trouble so. */
export function teller(who) {
  return (error) => tell(who, error);
}

function draw() {
  const [error] = troubles.values();
  if (!error) return fill(place);
  const text = error.message;
  if (place.querySelector("p")?.textContent === text) return;
  const isRefused = error instanceof Refused;
  const title = error instanceof Unreached ? "The server cannot be reached" : isRefused ? "The server refused" : "This page has a fault";
  const other = isRefused && error.status === 403 && el("button", { type: "button", class: "plain", onclick: () => ask(text) }, "Use another token");
  fill(place, el("section", { class: "card bad", role: "alert" }, el("h2", {}, title), el("p", {}, text), other));
}

/** Asks for a token in the place of the page. */
function ask(why) {
  if (isAsking) return;
  isAsking = true;
  dispatchEvent(new CustomEvent("asking"));
  fill(place);
  const input = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const submit = (event) => {
    event.preventDefault();
    setToken(input.value.trim());
    begin();
  };
  fill(
    document.getElementById("page"),
    el(
      "form",
      { class: "card narrow", onsubmit: submit },
      el("h1", {}, "A token is needed"),
      el("p", {}, why),
      el("label", { for: "token" }, "Token"),
      input,
      el(
        "p",
        { class: "quiet" },
        marked("It is kept for this tab alone, until the tab is closed. `rollcall token create` makes one; the verb `read` is enough."),
      ),
      el("button", { type: "submit" }, "Use it"),
    ),
  );
  input.focus();
}

/** A button that takes the token back, while there is one. */
export function tokenButton() {
  if (!hasToken()) return null;
  const forget = () => {
    setToken(null);
    begin();
  };
  return el("button", { type: "button", class: "plain small", onclick: forget }, "Forget the token");
}
