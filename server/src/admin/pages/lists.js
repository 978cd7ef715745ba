// The dashboard's lists: largest rooms, slow readers, nodes, connections with search and disconnect,
// and one room with its members and history.

import { Problem, asking, call } from './calls.js';
import { $, bytes, clock, count, duration, el, facts, rate, rows, write } from './page.js';

/** Rooms that are looked at for the largest: so many pages of so many. */
const ROOM_PAGES = 5;
const ROOM_PAGE = 1_000;
/** A page costs shards a look at all names: of more rooms fewer are looked at, and less often. */
const ROOMS_MANY = 20_000;
const SELDOM = 6;
const LARGEST = 10;
const SLOWEST = 10;
const FOUND = 50;
/** Seconds between two looks. */
const EVERY = { rooms: 10, slow: 3, nodes: 5 };
/** Characters of a value that are shown. */
const SHOWN_MAX = 2_000;

export function lists() {
  const inspector = inspect();
  const parts = [largest(inspector), busiest(inspector), slowest(), nodes()];
  connections(inspector);
  return {
    /** Called once a second with what the shards said. */
    async beat(beats, now) {
      for (const part of parts) await part(beats, now);
    },
  };
}

const button = (text, act, className = 'tight') => {
  const made = el('button', { type: 'button', className }, text);
  made.addEventListener('click', act);
  return made;
};

/** What is shown of a value of a client: text. */
function written(value) {
  if (value === undefined) return '–';
  const text = JSON.stringify(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… (${count(text.length)} characters)` : text;
}

function largest(inspector) {
  const show = rows($('top'), [
    { class: 'left name', make: ({ room }) => button(room, () => inspector(room), 'link') },
    { text: ({ members }) => count(members) },
  ], ({ room }) => room, 'No room has members.');
  return async (beats, now) => {
    const many = now.sums.rooms > ROOMS_MANY;
    if (beats % (many ? SELDOM * EVERY.rooms : EVERY.rooms)) return;
    const all = [];
    let cursor = '';
    for (let page = 0; page < (many ? 1 : ROOM_PAGES) && cursor !== undefined; page += 1) {
      const answer = await call(asking('/api/rooms', { limit: ROOM_PAGE, cursor }));
      all.push(...answer.rooms);
      cursor = answer.cursor;
    }
    show(all.sort((one, other) => other.members - one.members).slice(0, LARGEST));
    const of = cursor === undefined ? `Of all rooms (${count(all.length)})` : `Of the first ${count(all.length)} rooms by name; ${count(now.sums.rooms)} are here`;
    write($('top-of'), all.length ? `${of}, at ${clock()}.` : '');
  };
}

function busiest(inspector) {
  const show = rows($('busiest'), [
    { class: 'left name', make: ({ room }) => button(room, () => inspector(room), 'link') },
    { text: ({ each_second }) => rate(each_second) },
  ], ({ room }) => room, 'Nothing was published.');
  return async (beats) => {
    if (beats % EVERY.rooms) return;
    const top = await call(asking('/api/top', { limit: LARGEST }));
    show(top.rooms.map(({ room, publishes }) => ({ room, each_second: publishes / top.window_ms * 1000 })));
  };
}

function slowest() {
  const show = rows($('slowest'), [
    { class: 'left mono', text: ({ connection }) => connection },
    { class: 'left name', text: ({ user }) => user ?? '–' },
    { text: ({ waiting_bytes }) => bytes(waiting_bytes) },
    { make: (item) => button('Disconnect', () => confirm(item)) },
  ], ({ connection }) => connection, 'Everybody keeps up.');
  return async (beats, now) => {
    if (beats % EVERY.slow) return;
    if (now.sums.outboxes === 0) {
      show([]);
      return;
    }
    const answer = await call(asking('/api/connections', { waiting: 1, limit: 1_000 }));
    show(answer.connections.sort((one, other) => other.waiting_bytes - one.waiting_bytes).slice(0, SLOWEST));
  };
}

function wayOut({ connected, round_trip_micros, sent_waiting, received_waiting, lost, gaps, repaired }) {
  const way = connected ? `${(round_trip_micros / 1000).toFixed(1)} ms there and back` : 'no connection';
  return `Broker: ${way}, ${count(sent_waiting + received_waiting)} waiting, ${count(lost)} lost, ${count(gaps)} gaps, ${count(repaired)} repaired.`;
}

function nodes() {
  const show = rows($('nodes'), [
    { class: 'left name', text: ({ name, own }) => (own ? `${name} (this one)` : name) },
    { class: 'left', text: ({ version }) => version },
    { text: ({ connections }) => count(connections) },
    { text: ({ rooms }) => count(rooms) },
    { text: ({ users }) => count(users) },
    { text: ({ own, heard_ms_ago }) => (own ? '–' : `${(heard_ms_ago / 1000).toFixed(1)} s ago`) },
  ], ({ name }) => name, 'No nodes.');
  return async (beats, now) => {
    $('nodes-part').hidden = now.node === undefined;
    if (now.node === undefined || beats % EVERY.nodes) return;
    const answer = await call('/api/cluster');
    show(answer.nodes.map((node) => ({ ...node, own: node.name === answer.node })));
    write($('broker-state'), wayOut(answer.broker));
  };
}

function connections(inspector) {
  let found = [];
  let cursor;
  const show = rows($('found'), [
    { class: 'left mono', text: ({ connection }) => connection },
    { class: 'left name', text: ({ user }) => user ?? '–' },
    { class: 'left', text: ({ address }) => address },
    { text: ({ waiting_bytes }) => (waiting_bytes ? bytes(waiting_bytes) : '–') },
    { make: (item) => el('span', { className: 'actions' }, details(item, inspector), button('Disconnect', () => confirm(item, () => search()))) },
  ], ({ connection }) => connection, 'No connection is shown.');
  async function search(more) {
    const state = $('find-state');
    try {
      const asked = { user: $('find-user').value, room: $('find-room').value, address: $('find-address').value.trim(), limit: FOUND };
      const answer = await call(asking('/api/connections', more ? { ...asked, cursor } : asked));
      found = more ? found.concat(answer.connections) : answer.connections;
      cursor = answer.cursor;
      show(found);
      const some = found.length ? `${count(found.length)} ${cursor ? 'shown, there are more' : 'found'}` : cursor ? 'None among those looked at, there are more' : 'None';
      write(state, `${some}, at ${clock()}.`);
    } catch (problem) {
      write(state, said(problem));
    }
    $('find-more').hidden = cursor === undefined;
  }
  $('find').addEventListener('submit', (event) => {
    event.preventDefault();
    search();
  });
  $('find-more').addEventListener('click', () => search(true));
}

/** A button that opens a row with what one connection does. */
function details({ connection }, inspector) {
  const made = button('Details', async () => {
    const row = made.closest('tr');
    const open = !row.more;
    made.setAttribute('aria-expanded', String(open));
    if (!open) {
      row.more.remove();
      row.more = undefined;
      return;
    }
    const list = el('dl', { className: 'facts-list' });
    row.more = el('tr', {}, el('td', { className: 'left', colSpan: row.cells.length }, list));
    row.after(row.more);
    try {
      const it = await call(`/api/connections/${encodeURIComponent(connection)}`);
      const rooms = it.rooms.slice(0, 50).map((room) => button(room, () => inspector(room), 'link'));
      const listed = el('span', { className: 'actions' }, ...rooms, it.rooms.length > 50 ? `and ${count(it.rooms.length - 50)} more` : '');
      facts(list, [
        ['Speaks', it.dialect],
        ['Encrypted here', it.secure ? 'yes' : 'no'],
        ['Connected for', duration(it.connected_seconds)],
        ['Roles', it.roles.join(', ') || '–'],
        [`Rooms (${count(it.rooms.length)})`, rooms.length ? listed : '–'],
      ]);
    } catch (problem) {
      facts(list, [['It cannot be told', said(problem)]]);
    }
  });
  made.setAttribute('aria-expanded', 'false');
  return made;
}

/** Closes a connection, if the operator says so once more. */
function confirm({ connection, user, address }, after) {
  const dialog = $('confirm');
  const who = [connection, user === undefined ? 'nobody in particular' : `of user ${user}`, address && `at ${address}`];
  write($('confirm-what'), who.filter(Boolean).join(', '));
  write($('confirm-problem'), '');
  $('confirm-no').onclick = () => dialog.close();
  $('confirm-form').onsubmit = async (event) => {
    event.preventDefault();
    try {
      await call('/api/disconnect', { connection, reason: $('confirm-reason').value });
      dialog.close();
    } catch (problem) {
      write($('confirm-problem'), said(problem));
    }
    after?.();
  };
  dialog.showModal();
  $('confirm-no').focus();
}

/** The room that is looked into: returns what looks into another one. */
function inspect() {
  const members = pages('members', [
    { class: 'left name', text: ({ user }) => user ?? '–' },
    { class: 'left mono', text: ({ connection }) => connection ?? '–' },
    { class: 'left', text: ({ state }) => state },
    { class: 'left wrap mono', text: ({ data }) => written(data) },
  ], 'Nobody is in it.');
  const history = pages('history', [
    { text: ({ offset }) => count(offset) },
    { class: 'left mono', text: ({ from, event }) => from ?? event ?? '–' },
    { class: 'left wrap mono', text: ({ data }) => written(data) },
  ], 'It keeps nothing.');
  async function look(room) {
    $('look-room').value = room;
    let it;
    try {
      it = await call(`/api/rooms/${encodeURIComponent(room)}`);
    } catch (problem) {
      $('room').hidden = true;
      write($('look-state'), said(problem));
      return;
    }
    write($('look-state'), `${room}, at ${clock()}.`);
    const by = (parts) => Object.entries(parts).map(([part, of]) => `${part}: ${count(of)}`).join(', ') || '–';
    facts($('room-facts'), [
      ['Connections in it', it.partial ? `${count(it.members)} or more` : count(it.members)],
      ...(it.nodes ? [['By node', by(it.nodes)]] : []),
      ['By shard', by(it.shards)],
      ['Present', it.present === undefined ? 'not counted one by one' : count(it.present)],
      ['Newest in history', it.history ? `${count(it.history.offset)} of epoch ${it.history.epoch}` : 'no history'],
    ]);
    $('room').hidden = false;
    await members(async (cursor) => {
      const page = await call('/api/presence', { room, limit: 100, ...cursor });
      return { items: page.members, next: page.cursor && { cursor: page.cursor }, words: `${count(page.total)} in all.` };
    });
    await history(async (since) => {
      if (!it.history) return { items: [], words: 'Its namespace keeps no history.' };
      const page = await call('/api/history', { room, limit: 50, reverse: true, ...since });
      const oldest = page.messages.at(-1);
      const next = page.messages.length === 50 && oldest.offset > 1 && { since: { epoch: page.epoch, offset: oldest.offset } };
      return { items: page.messages, next, words: page.lost ? `Older ones are gone: ${page.lost}.` : '' };
    });
  }
  $('look').addEventListener('submit', (event) => {
    event.preventDefault();
    look($('look-room').value);
  });
  return (room) => {
    look(room);
    $('look-room').focus();
  };
}

/** A list that goes on page by page: returns what begins it with another source. */
function pages(id, columns, empty) {
  const show = rows($(id), columns, (item) => item, empty);
  return async (source) => {
    let shown = [];
    let next = {};
    const more = async () => {
      try {
        const page = await source(next);
        shown = shown.concat(page.items);
        next = page.next;
        show(shown);
        write($(`${id}-state`), page.words);
      } catch (problem) {
        next = undefined;
        show(shown);
        write($(`${id}-state`), said(problem));
      }
      $(`${id}-more`).hidden = !next;
    };
    $(`${id}-more`).onclick = more;
    await more();
  };
}

/** What went wrong; what is no answer of the server is a fault of this page. */
function said(problem) {
  if (!(problem instanceof Problem)) throw problem;
  return problem.status ? `${problem.message} (${problem.status}).` : `${problem.message}.`;
}
