// Numbers, times and places as people read them.

/** Names in the order in which people count: `web-2` before `web-10`. */
export const inOrder = new Intl.Collator("en", { numeric: true }).compare;

/** Milliseconds for people, as the command line has them. */
export function duration(ms) {
  const secs = Math.floor(ms / 1000);
  const parts = (large, unit, small, smallUnit) => (small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`);
  if (secs < 60) return `${secs} s`;
  if (secs < 3600) return parts(Math.floor(secs / 60), "min", secs % 60, "s");
  if (secs < 86400) return parts(Math.floor(secs / 3600), "h", Math.floor((secs % 3600) / 60), "min");
  return parts(Math.floor(secs / 86400), "d", Math.floor((secs % 86400) / 3600), "h");
}

/** A time of day, with the date where it is not today's. */
export function clock(unixMs) {
  const time = new Date(unixMs);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? time.toLocaleTimeString() : time.toLocaleString();
}

/** A number with its word, in the plural where it is not one. */
export function count(number, word, words = `${word}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? word : words}`;
}

/** A sentence's beginning. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** An address and a port as they are written together. */
export function place(address, port) {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The address of a page: its path's parts and what it is asked, without what is empty. */
export function link(parts, asked = {}) {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value)).toString();
  const path = parts.map(encodeURIComponent).join("/");
  return `#/${path}${query ? `?${query}` : ""}`;
}
