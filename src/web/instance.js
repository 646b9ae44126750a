// One instance in a list: where it stands, why it is or is not answering, and a lease that runs down before one's eyes.

import { el, fill, say } from "./dom.js";
import { capital, clock, duration, inOrder, link, place } from "./words.js";

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** A lease is renewed after a third of it. With less than this left, renewals have failed. */
const LATE = 0.3;
/** Renewals are no events: a lease that somebody looks at is looked at after a tenth of it, within these milliseconds. */
const LOOK_MS = [3000, 10000];

/** An instance and what shows it. */
export class Instance {
  #isSeen = false;
  #shown = null;
  #animation = null;
  #deadline = Infinity;
  #heard = 0;
  #timer = null;

  constructor(data) {
    this.update(data);
  }

  /** What shows it, made when it is first shown: a service may have thousands that nobody scrolls to. */
  get element() {
    if (!this.#shown) {
      const shown = { bar: el("i"), left: el("span"), pill: el("span"), why: el("p", { class: "why" }) };
      shown.facts = el("p", { class: "quiet facts" });
      const summary = el("summary", {}, "Details", el("span", { class: "hidden" }, ` of ${this.data.id}`));
      shown.details = el("details", { ontoggle: () => this.#drawDetails() }, summary);
      shown.lease = el("div", { class: "lease" }, el("span", { class: "bar", "aria-hidden": "true" }, shown.bar), shown.left);
      const head = el("div", { class: "row" }, el("h3", { class: "id" }, this.data.id), shown.pill);
      shown.element = el("li", {}, head, shown.why, shown.lease, shown.facts, shown.details);
      this.#shown = shown;
      this.#draw();
    }
    return this.#shown.element;
  }

  /** Whether it is on the screen: only there it moves, for what moves costs a layer of the screen each. */
  get isSeen() {
    return this.#isSeen;
  }

  set isSeen(isSeen) {
    this.#isSeen = isSeen;
    this.#run();
  }

  /** Trouble comes first. */
  get rank() {
    if (!this.data.answering) return 0;
    return this.data.standing === "live" ? 2 : 1;
  }

  /** The state that counts: an operator's stands above its owner's. */
  get state() {
    return this.data.override?.state ?? this.data.state;
  }

  /** Whether it has this in its id, addresses, tags, version or reason. */
  matches(wanted) {
    if (!wanted) return true;
    const { id, addresses, tags, version, why } = this.data;
    return [id, ...addresses, ...tags, version ?? "", why].some((text) => text.toLowerCase().includes(wanted));
  }

  /** Takes up what is known of it now. */
  update(data) {
    this.data = data;
    this.#heard = performance.now();
    this.#deadline = data.expires_in_ms === null ? Infinity : this.#heard + data.expires_in_ms;
    if (this.#shown) this.#draw();
  }

  /** Whether its lease may have been renewed since one has heard of it. */
  isDue(now) {
    const { lease_secs: leaseSecs, standing } = this.data;
    if (leaseSecs === null || standing !== "live") return false;
    const [least, most] = LOOK_MS;
    const pause = now >= this.#deadline ? 1000 : Math.min(most, Math.max(least, leaseSecs * 100));
    return now - this.#heard >= pause;
  }

  #draw() {
    const { element, pill, why: sentence, facts: line } = this.#shown;
    const { answering, why, standing, addresses, port, version, tags, weight, priority, health, override } = this.data;
    const kind = answering ? (standing === "live" ? "good" : "warn") : "bad";
    element.className = kind;
    pill.className = `pill ${kind}`;
    say(pill, answering ? (standing === "held" ? "answering, held" : "answering") : "not answering");
    say(sentence, capital(why));
    const facts = [
      override ? `override ${override.state}` : this.data.state,
      health !== "unchecked" && `health ${health}`,
      version && `version ${version}`,
      tags.length && `${tags.length === 1 ? "tag" : "tags"} ${tags.join(", ")}`,
      weight !== 1 && `weight ${weight}`,
      priority !== 0 && `priority ${priority}`,
    ];
    fill(line, el("code", {}, addresses.map((address) => place(address, port)).join(", ")), ` · ${facts.filter(Boolean).join(" · ")}`);
    this.#run();
    this.#drawDetails();
  }

  /** Has the bar run down from what is left of the lease. */
  #run() {
    const { lease_secs: leaseSecs } = this.data;
    const { bar, left, lease } = this.#shown;
    this.#animation?.cancel();
    clearTimeout(this.#timer);
    if (leaseSecs === null) {
      lease.className = "lease endless";
      bar.style.setProperty("transform", "scaleX(1)");
      say(left, "until deregistered");
      return;
    }
    const leftMs = Math.max(0, this.#deadline - performance.now());
    const share = Math.min(1, leftMs / (leaseSecs * 1000));
    bar.style.setProperty("transform", `scaleX(${share})`);
    if (leftMs > 0 && this.#isSeen && !stillness.matches) {
      const frames = [{ transform: `scaleX(${share})` }, { transform: "scaleX(0)" }];
      this.#animation = bar.animate(frames, { duration: leftMs, easing: "linear", fill: "forwards" });
    }
    this.#count();
  }

  /** Counts the seconds, as long as it is seen. That a lease has lapsed is the server's to say, who alone knows of renewals. */
  #count() {
    const { lease_secs: leaseSecs, standing } = this.data;
    const { bar, left, lease } = this.#shown;
    const leftMs = Math.max(0, this.#deadline - performance.now());
    const share = leftMs / (leaseSecs * 1000);
    const term = duration(leaseSecs * 1000);
    lease.className = share < LATE ? "lease late" : "lease";
    if (standing !== "live") say(left, `lapsed; its lease was of ${term}`);
    else say(left, leftMs > 0 ? `${duration(leftMs)} of ${term}` : `ending; its lease is of ${term}`);
    if (stillness.matches) bar.style.setProperty("transform", `scaleX(${Math.min(1, share)})`);
    if (leftMs > 0 && this.#isSeen) this.#timer = setTimeout(() => this.#count(), 1000);
  }

  #drawDetails() {
    const { details } = this.#shown;
    if (!details.open) return;
    const { service, id, label, name, state, state_reason: reason, override, protocol, ports, meta } = this.data;
    const { origin, owner, mirrored_from: source, registered_unix_ms: registered, changed_unix_ms: changed, revision } = this.data;
    const because = (text) => (text ? `: ${text}` : "");
    const until = override?.expires_in_ms ? `, for ${duration(override.expires_in_ms)} more` : "";
    const lines = [
      ["Name", name],
      ["Label", label !== id && label],
      ["State", state + because(reason)],
      ["Override", override && override.state + because(override.reason) + until],
      ["Protocol", protocol],
      ["Ports", Object.entries(ports).map(([key, value]) => `${key} ${value}`).sort(inOrder).join(", ")],
      ["Registered", clock(registered)],
      ["Changed", `${clock(changed)}, revision ${revision}`],
      ["Door", origin],
      ["Owner", owner],
      ["Copied from", source],
      ...Object.entries(meta).map(([key, value]) => [el("code", {}, key), value]),
    ];
    const shown = lines.filter(([, value]) => value).map(([key, value]) => el("div", {}, el("dt", {}, key), el("dd", {}, String(value))));
    const others = [
      el("a", { href: link(["history"], { service, id }) }, "Its history"),
      el("a", { href: link(["explain"], { name, type: "SRV" }) }, "Explain its name"),
    ];
    // Its links keep their focus, since nothing is drawn that is as it was.
    const drawn = JSON.stringify([this.data.meta, lines.map(([, value]) => value)]);
    if (details.dataset.drawn === drawn) return;
    details.dataset.drawn = drawn;
    details.querySelector(".more")?.remove();
    details.append(el("div", { class: "more" }, el("dl", { class: "details" }, shown), el("p", { class: "others" }, others)));
  }
}
