// What was sent and received, with times and sizes: the newest first. So many entries are kept; of
// more the oldest goes. Drawn once a frame at the most, however much comes.

import { $, bytes, count, el, write } from './page.js';

/** Entries that are kept. */
export const ENTRIES_MAX = 500;
/** Characters of an entry that are shown, and that are kept. */
const SHOWN_MAX = 4_000;
const KEPT_MAX = 1 << 16;

const WAYS = { sent: '→ sent', received: '← received', note: '· note', failed: '! problem' };

export class Timeline {
  #entries = [];
  #taken = 0;
  #asked = false;
  #begun = performance.now();

  constructor() {
    for (const id of ['filter-text', 'filter-sent', 'filter-received', 'filter-note']) $(id).addEventListener('input', () => this.#draw());
    $('filter').addEventListener('submit', (event) => event.preventDefault());
    $('clear').addEventListener('click', () => {
      this.#entries = [];
      this.#draw();
    });
    this.#draw();
  }

  /** An entry; `way` is sent, received, note or failed. */
  add(way, text, { size, took } = {}) {
    const kept = text.length > KEPT_MAX ? `${text.slice(0, KEPT_MAX)}…` : text;
    this.#entries.push({ way, text: kept, size, took, at: performance.now() - this.#begun, clock: new Date() });
    this.#taken += 1;
    if (this.#entries.length > ENTRIES_MAX) this.#entries.shift();
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#asked = false;
    const has = $('filter-text').value.toLowerCase();
    const ways = { sent: $('filter-sent').checked, received: $('filter-received').checked, note: $('filter-note').checked, failed: $('filter-note').checked };
    const shown = this.#entries.filter(({ way, text }) => ways[way] && text.toLowerCase().includes(has));
    // What is drawn already is kept, and with it the focus.
    const items = shown.reverse().map((entry) => (entry.item ??= draw(entry)));
    const list = $('timeline');
    const stays = new Set(items);
    for (const item of [...list.children]) if (!stays.has(item)) item.remove();
    items.forEach((item, index) => {
      if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
    });
    const all = this.#entries.length;
    const gone = this.#taken > ENTRIES_MAX && all === ENTRIES_MAX ? `; the newest ${count(ENTRIES_MAX)} are kept` : '';
    write($('timeline-state'), all ? `${count(items.length)} of ${count(all)}${gone}.` : 'Nothing yet: connect, and what is said stands here.');
  }
}

function draw({ way, text, size, took, at, clock }) {
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… (${count(text.length)} characters)` : text;
  const meta = [size === undefined ? '' : bytes(size), took === undefined ? '' : `${took.toFixed(1)} ms`].filter(Boolean).join(', ');
  const said = el('pre', {}, shown);
  const copy = el('button', { type: 'button', className: 'tight', 'aria-label': `Copy ${way} of ${clock.toLocaleTimeString('en-GB')}` }, 'Copy');
  copy.addEventListener('click', async () => {
    // Pages of other hosts without TLS have no clipboard: there the text is selected.
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    if (!done) getSelection().selectAllChildren(said);
    write(copy, done ? 'Copied' : 'Selected');
    setTimeout(() => write(copy, 'Copy'), 1_500);
  });
  return el('li', {},
    el('span', { className: 'meta', title: clock.toISOString() }, `${(at / 1000).toFixed(3)} s`),
    el('span', {}, el('span', { className: `way ${way}` }, WAYS[way]), el('span', { className: 'meta' }, meta && ` ${meta}`)),
    said,
    copy);
}
