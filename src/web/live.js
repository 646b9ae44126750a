// What happens, as it happens: the server's event stream, and lists that are kept in step with it.
//
// An `EventSource` cannot send a token, so the stream is read with `fetch`.

import { Refused, call } from "./api.js";

/** Milliseconds before the first attempt to come back, and at most before a later one. */
const RETRY_MS = 500;
const MAX_RETRY_MS = 8000;
/** The server shows that it is alive every 15 s: after this the connection is dead, though nobody has said so. */
const SILENCE_MS = 40000;

/** Follows what happens, from a revision on, for as long as the page is open.
 *
 * Tells of `event`; of `gap`, when what was read before may lack something, with the revision from which on nothing is missed
 * (null: unknown); of `connection`, whose detail is `connecting`, `live` or `away`; and of `refused`, with the error. */
class Live extends EventTarget {
  #about = null;
  #revision = null;
  #connection = null;
  #controller = null;
  #wake = () => {};

  /** Follows one service, or all of them (null). What is followed already goes on. */
  follow(about) {
    if (this.#controller && !this.#controller.signal.aborted && about === this.#about) return;
    this.stop();
    this.#about = about;
    this.#revision = null;
    this.#controller = new AbortController();
    this.#run(this.#controller.signal);
  }

  /** Stops until somebody follows again. */
  stop() {
    this.#controller?.abort();
  }

  /** Tries again at once, if it waits to. */
  hurry() {
    this.#wake();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #connected(connection) {
    if (this.#connection === connection) return;
    this.#connection = connection;
    this.#tell("connection", connection);
  }

  async #run(signal) {
    if (this.#connection !== "live") this.#connected("connecting");
    let pause = RETRY_MS;
    while (!signal.aborted) {
      try {
        await this.#read(signal, () => (pause = RETRY_MS));
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.status === 410) {
          this.#revision = null;
          this.#tell("gap", null);
        } else if (error instanceof Refused && !error.isPassing) {
          this.stop();
          return this.#tell("refused", error);
        } else {
          this.#connected("away");
        }
      }
      // Not all pages at the same moment, when a server is back.
      await this.#sleep(pause * (0.75 + Math.random() / 2));
      pause = Math.min(MAX_RETRY_MS, pause * 1.6);
    }
  }

  async #sleep(ms) {
    let timer;
    await new Promise((done) => {
      this.#wake = done;
      timer = setTimeout(done, ms);
    });
    clearTimeout(timer);
  }

  /** Reads one stream to its end. */
  async #read(signal, begun) {
    const asked = new URLSearchParams();
    if (this.#about !== null) asked.set("service", this.#about);
    if (this.#revision !== null) asked.set("revision", this.#revision);
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const reply = await call(`/api/v1/watch?${asked}`, "text/event-stream", AbortSignal.any([signal, silence.signal]));
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done || signal.aborted) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        const messages = (rest + value).split("\n\n");
        rest = messages.pop();
        for (const message of messages) this.#hear(message);
        if (messages.length) begun();
      }
    } finally {
      clearTimeout(timer);
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
      const isFirst = this.#revision === null;
      this.#revision = data.revision;
      this.#connected("live");
      if (isFirst) this.#tell("gap", data.revision);
    } else if (fields.event === "event") {
      this.#revision = data.revision;
      this.#tell("event", data);
    } else if (fields.event === "too_old") {
      this.#revision = null;
      this.#tell("gap", null);
    }
  }
}

/** What happens, for all pages. */
export const live = new Live();

/** Keeps something in step that is read whole: reads it now, after a gap, when it is asked to, and again after a failure that passes.
 *
 * `read` gives the revision up to which what it read is whole. `tell` is given each error, and null when all is well. Gives
 * a function that asks for it to be read again, which is done at most once in `pauseMs`, and after a rest of so many times what it took. */
export function keepInStep(read, { signal, tell, pauseMs = 400, rest = 1 }) {
  let have = null;
  let needed = 0;
  let isRunning = false;
  let isWanted = false;

  async function run() {
    if (signal.aborted) return;
    if (isRunning) {
      isWanted = true;
      return;
    }
    isRunning = true;
    isWanted = false;
    const began = performance.now();
    let pause = pauseMs;
    // What is read after the stream has begun lacks nothing of before.
    const from = needed;
    try {
      have = Math.max(from, await read());
      tell(null);
      isWanted ||= have < needed;
    } catch (error) {
      if (signal.aborted) return;
      have = null;
      tell(error);
      if (error.isPassing) {
        isWanted = true;
        pause = 2000;
      }
    }
    setTimeout(() => {
      isRunning = false;
      if (isWanted) run();
    }, Math.max(pause, rest * (performance.now() - began)));
  }

  live.addEventListener("gap", ({ detail: from }) => {
    if (from === null) have = null;
    needed = from ?? 0;
    if (isRunning ? from === null : have === null || have < needed) run();
  }, { signal });
  live.addEventListener("connection", ({ detail }) => {
    if (detail === "live" && have === null && !isRunning) run();
  }, { signal });
  run();
  return run;
}
