// The server as the pages know it: calls, and a token where one is needed.

const TOKEN = "rollcall-token";

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** Whether it may be otherwise in a while without anybody doing anything. */
  get isPassing() {
    return this.status >= 500 || this.status === 408 || this.status === 429;
  }
}

/** There was no reply at all. */
export class Unreached extends Error {
  get isPassing() {
    return true;
  }
}

/** Keeps a token for this tab alone; none: forgets the one there is. */
export function setToken(token) {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

/** Whether a token is sent. */
export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

async function refusal(reply) {
  const text = await reply.text();
  try {
    const problem = JSON.parse(text);
    return new Refused(reply.status, problem.detail || problem.title || reply.statusText);
  } catch {
    // Not ours: of a proxy in between.
    return new Refused(reply.status, `${reply.status} ${reply.statusText}`.trim());
  }
}

/** Asks for a path: the reply, if it is a good one. */
export async function call(path, accept, signal) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Accept: accept, Authorization: `Bearer ${token}` } : { Accept: accept };
  let reply;
  try {
    reply = await fetch(path, { headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreached("It does not reply. What is shown is as it was last; the page tries again by itself.");
  }
  if (!reply.ok) throw await refusal(reply);
  return reply;
}

/** Reads a path's JSON. */
export async function get(path, signal) {
  const reply = await call(path, "application/json", signal);
  try {
    return await reply.json();
  } catch (error) {
    if (error.name === "AbortError" || error instanceof SyntaxError) throw error;
    throw new Unreached("The reply broke off; the page tries again by itself.");
  }
}

/** Items of a list's first page, which is there soon, and of the others. */
const FIRST = 100;
const OTHERS = 1000;

/** Reads a long list page by page, each of which is handed to `each`: the least revision of a page, up to which all is there. */
export async function pages(path, each, signal) {
  let revision = Infinity;
  for (let next = `${path}?limit=${FIRST}`; next; ) {
    const page = await get(next, signal);
    revision = Math.min(revision, page.revision);
    each(page);
    next = page.next?.replace(`?limit=${FIRST}&`, `?limit=${OTHERS}&`);
  }
  return revision;
}
