// Elements, made without markup: whatever a service says of itself stays text.

const isThere = (child) => child !== null && child !== undefined && child !== false;

/** An element with attributes (`on…` are listeners, false and null leave one out) and children; text becomes text. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (!isThere(value)) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(isThere));
  return element;
}

/** Puts children in the place of those that an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(isThere));
  return element;
}

/** Makes these elements the children, in this order, and touches those alone that are not yet where they belong: focus, what is
 * folded out and what moves stay as they are. */
export function arrange(parent, elements) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else if (element.parentNode === parent && parent.moveBefore) parent.moveBefore(element, at);
    else parent.insertBefore(element, at);
  }
  if (!focused || document.activeElement === focused) return;
  // What had the focus was moved by a browser that takes the focus for that, or is gone.
  const next = focused.isConnected ? focused : parent.closest("main");
  next?.focus({ preventScroll: true });
}

/** A sentence in which what stands between backticks is a name. */
export function marked(text) {
  return text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

/** Sets an element's text, only if it is another: what does not change is not read out again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A field in which something is looked for. */
export function finder(label, value, oninput) {
  const input = el("input", { id: "find", type: "search", value, autocomplete: "off", autocapitalize: "none", spellcheck: "false", oninput });
  return { input, element: el("div", { class: "find" }, el("label", { for: "find" }, label), input) };
}

/** Buttons of which one is chosen: `[key, text]` each. `show` is told how many each has, and hides one that has none. */
export function chooser(label, options, chosen, onchoose) {
  let current = options.some(([key]) => key === chosen) ? chosen : options[0][0];
  const buttons = options.map(([key, text]) => {
    const number = el("span", { class: "count" });
    const choose = () => {
      current = key;
      draw();
      onchoose(key);
    };
    return { key, number, element: el("button", { type: "button", class: "chip", onclick: choose }, text, number) };
  });
  const draw = () => buttons.forEach(({ key, element }) => element.setAttribute("aria-pressed", String(key === current)));
  draw();
  return {
    element: el("div", { class: "chips", role: "group", "aria-label": label }, buttons.map(({ element }) => element)),
    get chosen() {
      return current;
    },
    show(counts) {
      for (const { key, number, element } of buttons) {
        say(number, ` ${(counts[key] ?? 0).toLocaleString("en")}`);
        element.hidden = !counts[key] && key !== current && key !== options[0][0];
      }
    },
  };
}

/** A bar that shows which part of all is answering; those who do not see it are told by the text beside it. */
export function shareBar() {
  const part = el("i");
  const element = el("span", { class: "share", "aria-hidden": "true" }, part);
  return {
    element,
    show(answering, all) {
      element.className = `share ${answering === 0 ? "bad" : answering < all ? "warn" : "good"}`;
      part.style.setProperty("inline-size", `${all ? (100 * answering) / all : 0}%`);
    },
  };
}
