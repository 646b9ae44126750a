// One instance in a list: where it stands, why it is or is not answering, and a lease that runs down before one's eyes.

import { clock, duration, el, say } from "./dom.js";

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** An instance and what shows it. */
export class Instance {
  #shown = null;
  #animation = null;
  #deadline = null;
  #timer = null;

  constructor(data) {
    this.data = data;
  }

  /** What shows it, made when it is first shown: a service may have thousands that nobody scrolls to. */
  get element() {
    if (!this.#shown) {
      const shown = { bar: el("i"), left: el("span"), pill: el("span"), why: el("p", { class: "why" }), facts: el("p", { class: "quiet facts" }) };
      shown.details = el("details", { ontoggle: () => this.#drawDetails() }, el("summary", {}, "Details"));
      const lease = el("div", { class: "lease" }, el("span", { class: "bar", "aria-hidden": "true" }, shown.bar), shown.left);
      const head = el("div", { class: "row" }, el("h3", { class: "id" }, this.data.id), shown.pill);
      shown.element = el("li", {}, head, shown.why, lease, shown.facts, shown.details);
      this.#shown = shown;
      this.#draw();
    }
    return this.#shown.element;
  }

  /** Trouble comes first; otherwise by id. */
  static compare(one, other) {
    return one.#rank() - other.#rank() || one.data.id.localeCompare(other.data.id, "en", { numeric: true });
  }

  #rank() {
    if (!this.data.answering) return 0;
    return this.data.standing === "live" ? 2 : 1;
  }

  /** Whether it has this in its id, addresses, tags or version. */
  matches(wanted) {
    if (!wanted) return true;
    const { id, addresses, tags, version } = this.data;
    return [id, ...addresses, ...tags, version || ""].some((text) => text.toLowerCase().includes(wanted));
  }

  /** Takes up what is known of it now. */
  update(data) {
    this.data = data;
    if (this.#shown) this.#draw();
  }

  #draw() {
    const { element, pill, why: sentence, facts: line } = this.#shown;
    const { answering, why, standing, addresses, port, version, tags, weight, priority, health, override } = this.data;
    const kind = answering ? (standing === "live" ? "good" : "warn") : "bad";
    element.className = kind;
    pill.className = `pill ${kind}`;
    say(pill, answering ? (standing === "held" ? "answering, held" : "answering") : "not answering");
    say(sentence, why.charAt(0).toUpperCase() + why.slice(1));
    const state = override ? `override ${override.state}` : this.data.state;
    const places = addresses.map((address) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`));
    const facts = [
      places.join(", "),
      state,
      health !== "unchecked" && `health ${health}`,
      version && `version ${version}`,
      tags.length && `tags ${tags.join(", ")}`,
      weight !== 1 && `weight ${weight}`,
      priority !== 0 && `priority ${priority}`,
    ];
    say(line, facts.filter(Boolean).join(" · "));
    this.#run();
    this.#drawDetails();
  }

  /** Has the bar run down from what is left of the lease. */
  #run() {
    const { lease_secs: leaseSecs, expires_in_ms: leftMs } = this.data;
    const { bar, left } = this.#shown;
    this.#animation?.cancel();
    clearTimeout(this.#timer);
    if (leaseSecs === null || leftMs === null) {
      say(left, "no end");
      bar.style.setProperty("transform", "scaleX(1)");
      return;
    }
    this.#deadline = performance.now() + leftMs;
    const share = Math.min(1, leftMs / (leaseSecs * 1000));
    bar.style.setProperty("transform", `scaleX(${share})`);
    if (leftMs > 0 && !stillness.matches) {
      const frames = [{ transform: `scaleX(${share})` }, { transform: "scaleX(0)" }];
      this.#animation = bar.animate(frames, { duration: leftMs, easing: "linear", fill: "forwards" });
    }
    this.#count();
  }

  /** Counts the seconds, as long as it is shown. */
  #count() {
    const left = Math.max(0, this.#deadline - performance.now());
    const { lease_secs: leaseSecs } = this.data;
    say(this.#shown.left, left === 0 ? `lapsed, of ${duration(leaseSecs * 1000)}` : `${duration(left)} of ${duration(leaseSecs * 1000)}`);
    if (left > 0) this.#timer = setTimeout(() => this.#shown.element.isConnected && this.#count(), 1000);
  }

  #drawDetails() {
    const { details } = this.#shown;
    if (!details.open) return;
    const { label, name, state, state_reason: reason, override, protocol, ports, meta, origin, owner, mirrored_from: source, registered_unix_ms: registered, changed_unix_ms: changed, revision } = this.data;
    const because = (text) => (text ? `: ${text}` : "");
    const lines = [
      ["name", name],
      ["label", label],
      ["state", state + because(reason)],
      ["override", override && override.state + because(override.reason)],
      ["protocol", protocol],
      ...Object.entries(ports).map(([key, value]) => ["port", `${key} = ${value}`]),
      ["origin", origin],
      ["copied from", source],
      ["owner", owner],
      ["registered", clock(registered)],
      ["changed", `${clock(changed)}, revision ${revision}`],
      ...Object.entries(meta).map(([key, value]) => [`meta ${key}`, value]),
    ];
    const shown = lines.filter(([, value]) => value).map(([key, value]) => el("div", {}, el("dt", {}, key), el("dd", {}, String(value))));
    const old = details.querySelector("dl");
    const fresh = el("dl", { class: "details" }, shown);
    if (old) old.replaceWith(fresh);
    else details.append(fresh);
  }
}
