// The instances of a service, kept in step with the server: read whole, then one by one as something happens to them.
//
// Answers and events cross on their way. What an answer says of an instance is left aside if something happened to it
// that the answer cannot know of; so none comes back that is gone.

import { get, pages } from "./api.js";
import { Instance } from "./instance.js";
import { keepInStep, live } from "./live.js";
import { inOrder } from "./words.js";

/** A service of so many is looked at in one call, for its leases. */
const FEW = 100;
/** Instances that are looked at one by one, at most at a time. */
const SOME = 30;
/** Milliseconds between two looks while much happens. */
const PAUSE_MS = 300;

/** The instances that are known now. */
export class Instances {
  /** Whether all are read that there are. */
  isWhole = false;
  #known = new Map();
  /** The revision of the last event of each instance. */
  #latest = new Map();
  #sorted = [];
  #isSorted = true;
  #changed = new Set();
  #path;
  #service;
  #draw;
  #watcher;

  /** Those of `service`; `draw` is called when they have changed. */
  constructor(service, draw) {
    this.#service = service;
    this.#path = `/api/v1/services/${encodeURIComponent(service)}`;
    this.#draw = draw;
    this.#watcher = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const instance = this.#known.get(target.dataset.id);
        if (instance && instance.isSeen !== isIntersecting) instance.isSeen = isIntersecting;
      }
    });
  }

  /** All of them, by id. */
  get all() {
    if (!this.#isSorted) {
      this.#sorted = [...this.#known.values()].sort((one, other) => inOrder(one.data.id, other.data.id));
      this.#isSorted = true;
    }
    return this.#sorted;
  }

  /** What shows an instance; its lease is looked at while it is on the screen. */
  shown(instance) {
    const { element } = instance;
    if (!element.dataset.id) {
      element.dataset.id = instance.data.id;
      this.#watcher.observe(element);
    }
    return element;
  }

  /** Begins, and goes on until the page is left. */
  start(signal, tell) {
    const all = keepInStep(() => this.#readAll(signal), { signal, tell, pauseMs: PAUSE_MS });
    let isReading = false;
    const some = async () => {
      if (isReading || !this.#changed.size || signal.aborted) return;
      const ids = [...this.#changed];
      this.#changed.clear();
      if (ids.length > Math.max(SOME, this.#known.size / 50)) return all();
      isReading = true;
      try {
        await Promise.all(ids.map((id) => this.#readOne(id, signal)));
        this.#draw();
      } catch {
        all(); // which says what is wrong, or is well
      }
      setTimeout(() => {
        isReading = false;
        some();
      }, PAUSE_MS);
    };
    live.addEventListener("event", ({ detail: { service, id, state, revision } }) => {
      if (service !== this.#service) return;
      this.#latest.set(id, revision);
      if (state === null) {
        this.#changed.delete(id);
        this.#remove(id);
        this.#draw();
      } else {
        this.#changed.add(id);
        some();
      }
    }, { signal });
    this.#look(signal);
    signal.addEventListener("abort", () => this.#watcher.disconnect());
  }

  #put(data) {
    const known = this.#known.get(data.id);
    if (known) return known.update(data);
    this.#known.set(data.id, new Instance(data));
    this.#isSorted = false;
  }

  #remove(id) {
    if (this.#known.delete(id)) this.#isSorted = false;
  }

  async #readAll(signal) {
    const there = new Set();
    this.#latest.clear();
    let revision = Infinity;
    try {
      revision = await pages(this.#path, (page) => {
        this.#take(page);
        for (const { id } of page.instances) there.add(id);
        // The first page of a long list is shown at once.
        if (!this.isWhole && there.size === page.instances.length) this.#draw();
      }, signal);
    } catch (error) {
      // Nothing is listed in it, which is an answer too.
      if (error.status !== 404) throw error;
      revision = 0;
    }
    // Those that something happened to since are read by themselves.
    for (const id of [...this.#known.keys()]) if (!there.has(id) && !this.#latest.has(id)) this.#remove(id);
    this.isWhole = true;
    this.#draw();
    return revision;
  }

  /** Takes up what a page of the list says. */
  #take(page) {
    for (const data of page.instances) {
      if ((this.#latest.get(data.id) ?? 0) <= page.revision) this.#put(data);
    }
  }

  async #readOne(id, signal) {
    const latest = this.#latest.get(id);
    try {
      const data = await get(`${this.#path}/instances/${encodeURIComponent(id)}`, signal);
      if (this.#latest.get(id) === latest) this.#put(data);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }

  /** Looks at the leases that are on the screen, which are renewed without an event. */
  #look(signal) {
    let isLooking = false;
    const timer = setInterval(async () => {
      if (isLooking || document.hidden || !this.isWhole) return;
      const now = performance.now();
      const due = this.all.filter((one) => one.isSeen && one.isDue(now)).slice(0, SOME);
      if (!due.length) return;
      isLooking = true;
      try {
        if (this.#known.size <= FEW) this.#take(await get(`${this.#path}?limit=${FEW}`, signal));
        else await Promise.all(due.map((one) => this.#readOne(one.data.id, signal)));
      } catch {
        // The stream says that the server is away.
      }
      isLooking = false;
    }, 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
  }
}
