// The server as the pages know it: calls, a token where one is needed, and the stream of what happens.

const TOKEN = "rollcall-token";
const RETRY_MS = 1000;

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Keeps a token for this tab alone. */
export function setToken(token) {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

function headers(accept) {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Accept: accept, Authorization: `Bearer ${token}` } : { Accept: accept };
}

async function refusal(reply) {
  const text = await reply.text();
  try {
    const problem = JSON.parse(text);
    return new Refused(reply.status, problem.detail || problem.title || reply.statusText);
  } catch {
    return new Refused(reply.status, text || reply.statusText);
  }
}

/** Reads a path's JSON. */
export async function get(path, signal) {
  const reply = await fetch(path, { headers: headers("application/json"), signal, cache: "no-store" });
  if (!reply.ok) throw await refusal(reply);
  return reply.json();
}

/** Reads a long list page by page; `each` is given every page, and may say that it has had enough. */
export async function pages(path, each, signal) {
  let next = path;
  while (next) {
    const page = await get(next, signal);
    if (each(page) === false) return;
    next = page.next;
  }
}

/** Follows what happens, from a revision on, for as long as the page is open.
 *
 * Tells of `event`, of `gap` when something may have been missed (whoever shows a list reads it again), and of
 * `connection`, whose detail says whether the server is there. */
export class Live extends EventTarget {
  #revision = null;
  #isThere = null;
  #controller = null;

  /** Begins, or goes on after a token was given. */
  start() {
    this.#controller?.abort();
    this.#controller = new AbortController();
    this.#run(this.#controller.signal);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #connection(isThere) {
    if (this.#isThere === isThere) return;
    this.#isThere = isThere;
    this.#tell("connection", isThere);
  }

  async #run(signal) {
    while (!signal.aborted) {
      try {
        await this.#read(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.status === 410) {
          this.#revision = null;
          this.#tell("gap");
          continue;
        }
        // A page that needs a token says so itself.
        if (error instanceof Refused && error.status < 500) return;
        this.#connection(false);
      }
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }

  async #read(signal) {
    const from = this.#revision === null ? "" : `?revision=${this.#revision}`;
    const reply = await fetch(`/api/v1/watch${from}`, { headers: headers("text/event-stream"), signal, cache: "no-store" });
    if (!reply.ok) throw await refusal(reply);
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const messages = (rest + value).split("\n\n");
      rest = messages.pop();
      messages.forEach((message) => this.#hear(message));
    }
  }

  #hear(message) {
    const fields = {};
    for (const line of message.split("\n")) {
      const at = line.indexOf(": ");
      if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
    }
    if (!fields.data) return;
    const data = JSON.parse(fields.data);
    if (fields.event === "watching") {
      // What happened before the first stream is in the lists that were read after it began.
      if (this.#revision === null) this.#tell("gap");
      this.#revision = data.revision;
      this.#connection(true);
    } else if (fields.event === "event") {
      this.#revision = data.revision;
      this.#tell("event", data);
    } else if (fields.event === "too_old") {
      this.#revision = null;
    }
  }
}

/** What happens, for all pages. */
export const live = new Live();
