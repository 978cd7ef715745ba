// Calls of the admin API, with the operators' token where the port asks for one.
// The token is kept in sessionStorage alone: it ends with the tab, and stands in no address.

const KEY = 'shardcast.token';
/** After so long the server does not answer. */
const PATIENCE_MS = 10_000;

/** What the server answered instead (RFC 9457). Status 0: it did not. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  keep: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
  /** What the server takes for one. */
  fits: (text) => /^[\x21-\x7e]{32,512}$/.test(text),
};

/** Asks, or with a body posts, and returns the answer; throws a Problem. */
export async function call(path, body) {
  const headers = { Accept: 'application/json' };
  const shown = token.get();
  if (shown) headers.Authorization = `Bearer ${shown}`;
  const request = { headers, cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) {
    request.method = 'POST';
    request.body = JSON.stringify(body);
    headers['Content-Type'] = 'application/json';
  }
  let answer;
  let read;
  try {
    answer = await fetch(path, request);
    read = await answer.json();
  } catch {
    throw new Problem(answer?.status ?? 0, 'the server does not answer');
  }
  if (answer.ok) return read;
  throw new Problem(answer.status, read?.detail ?? `the server answered ${answer.status}`);
}

/** A path with parameters: those that are empty are left out. */
export function asking(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, value);
  }
  return query.size ? `${path}?${query}` : path;
}
