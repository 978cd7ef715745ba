// The test console: a client in the page, what it says and hears, and a crowd of others.

import { CLIENTS_MAX, Crowd } from './crowd.js';
import { DIALECTS, hello, open, received, sizeOf } from './dialects.js';
import { $, count, el, facts, time, write } from './page.js';
import { Timeline } from './timeline.js';

/** Requests whose answers are waited for; the oldest is forgotten. */
const WAITING_MAX = 1_000;

const timeline = new Timeline();
let client = null;
let crowd = null;

for (const [key, { name }] of Object.entries(DIALECTS)) $('dialect').append(el('option', { value: key }, name));
const { plain, secure } = document.body.dataset;
const name = location.hostname;
if (plain) $('port').append(el('option', { value: `ws://${name}:${plain}` }, `${plain}, without TLS`));
if (secure) $('port').append(el('option', { value: `wss://${name}:${secure}` }, `${secure}, with TLS`));
if (!plain && !secure) {
  notice('Clients connect to this server through no TCP port that a page could reach.');
  for (const id of ['open', 'crowd-start']) $(id).disabled = true;
}

const chosen = () => ({ dialect: DIALECTS[$('dialect').value], base: $('port').value, token: $('token').value.trim(), way: $('token-way').value });

function notice(text) {
  $('notice').hidden = !text;
  write($('notice'), text);
}

function state(text, kind = '', who = '') {
  $('state').className = `mark ${kind}`;
  write($('state'), text);
  write($('who'), who);
  const [is, may] = [client !== null, client?.ready === true];
  for (const button of document.querySelectorAll('[data-ask], #send')) button.disabled = !may;
  $('open').disabled = is || (!plain && !secure);
  $('close').disabled = !is;
  for (const id of ['dialect', 'port', 'token', 'token-way']) $(id).disabled = is;
}

function hint() {
  const binary = $('dialect').value === 'messagepack';
  write($('raw-hint'), binary ? 'JSON, which is packed, or the bytes in hexadecimal (0x…).' : 'One text message, sent exactly so.');
}
$('dialect').addEventListener('change', hint);

$('connect').addEventListener('submit', (event) => {
  event.preventDefault();
  const { dialect, base, ...options } = chosen();
  notice('');
  let socket;
  try {
    socket = open(dialect, base, options);
  } catch (error) {
    timeline.add('failed', error.message);
    return;
  }
  client = { dialect, socket, ready: false, ids: 0, waits: new Map(), opened: false };
  const it = client;
  state('Connecting', 'doubt');
  timeline.add('note', `connecting to ${socket.url} as ${dialect.name}`);
  socket.onopen = () => {
    it.opened = true;
    timeline.add('note', `connected${socket.protocol && `, subprotocol ${socket.protocol}`}`);
    const first = hello(dialect, options);
    it.ready = first === null;
    state('Connected', 'good');
    if (first) ask(it, first[0], first[1]);
  };
  socket.onmessage = ({ data }) => hear(it, data);
  socket.onclose = ({ code, reason, wasClean }) => {
    timeline.add(it.opened ? 'note' : 'failed', `closed ${code}${reason && ` “${reason}”`}${wasClean ? '' : ', without a closing handshake'}`);
    if (!it.opened) notice('The server did not let this page in. A browser does not say why: the token may be refused (401), this page’s origin may not connect (access.origins), the dialect may be off, or nothing listens there. The server’s log and its counter shardcast_http_refusals tell.');
    if (client !== it) return;
    client = null;
    state(it.opened ? `Closed ${code}` : 'Refused', it.opened && code === 1000 ? '' : 'bad', reason);
  };
});

$('close').addEventListener('click', () => client?.socket.close(1000, 'goodbye'));

function send(it, message, text) {
  it.socket.send(message);
  timeline.add('sent', text, { size: sizeOf(message) });
}

function ask(it, what, fields) {
  it.ids += 1;
  const value = it.dialect.ask(it.ids, what, fields);
  it.waits.set(it.ids, { what, at: performance.now() });
  if (it.waits.size > WAITING_MAX) it.waits.delete(it.waits.keys().next().value);
  // A token is no matter for a screen.
  send(it, it.dialect.write(value), JSON.stringify(value, (key, field) => (key === 'token' && typeof field === 'string' ? '…' : field)));
}

function hear(it, data) {
  const { size, values, problem } = received(it.dialect, data);
  if (problem) timeline.add('failed', `${problem}: ${typeof data === 'string' ? data : `${data.byteLength} bytes`}`, { size });
  values.forEach((value, index) => {
    const told = it.dialect.tell(value);
    const asked = it.waits.get(told.id);
    it.waits.delete(told.id);
    const took = asked && performance.now() - asked.at;
    timeline.add('received', JSON.stringify(value), { size: index === 0 ? size : undefined, took });
    if (told.ping) send(it, '{}', '{}');
    if (told.error !== undefined) {
      timeline.add('failed', `${asked?.what ?? 'the server'}: ${told.code}: ${told.error}`);
      if (asked?.what === 'auth' || asked?.what === 'connect') notice(`The server refuses this client: ${told.code}: ${told.error}`);
    }
    if (told.welcome) it.id = told.welcome;
    if (told.user) it.user = told.user;
    // Who sends its token first may ask when it is answered, whatever the answer is.
    if (asked?.what === 'auth' || asked?.what === 'connect') it.ready = true;
    if (client === it && (told.welcome || asked)) state('Connected', 'good', [it.id, it.user && `user ${it.user}`].filter(Boolean).join(', '));
  });
}

function asked(what) {
  const problem = $('ask-problem');
  write(problem, '');
  if (!client?.ready) return;
  const fields = { room: $('room').value };
  if (what === 'publish') {
    try {
      fields.data = JSON.parse($('data').value);
    } catch (error) {
      write(problem, `The data is no JSON: ${error.message}`);
      $('data').focus();
      return;
    }
  }
  ask(client, what, fields);
}

for (const button of document.querySelectorAll('[data-ask]')) {
  if (button.type === 'button') button.addEventListener('click', () => asked(button.dataset.ask));
}
$('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  asked('publish');
});

$('send').addEventListener('click', () => {
  const problem = $('ask-problem');
  write(problem, '');
  try {
    send(client, client.dialect.raw($('raw').value), $('raw').value);
  } catch (error) {
    write(problem, `It cannot be sent: ${error.message}`);
  }
});

$('crowd').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { dialect, base, ...options } = chosen();
  const number = (id) => Number($(`crowd-${id}`).value);
  crowd = new Crowd(dialect, base, { ...options, room: $('room').value, clients: number('clients'), seconds: number('seconds'), rate: number('rate'), bytes: number('bytes') });
  $('crowd-start').disabled = true;
  $('crowd-stop').disabled = false;
  timeline.add('note', `${count(Math.min(number('clients'), CLIENTS_MAX))} simulated clients come`);
  const looks = setInterval(showCrowd, 500);
  try {
    await crowd.run();
  } catch (error) {
    crowd.stage = error.message;
  }
  clearInterval(looks);
  showCrowd();
  $('crowd-start').disabled = false;
  $('crowd-stop').disabled = true;
  timeline.add('note', `the simulation is over: ${$('crowd-state').textContent}`);
});

$('crowd-stop').addEventListener('click', () => crowd?.stop());

function showCrowd() {
  const { asked: wanted, joined, published, accepted, received: got, expected } = crowd.counts;
  const [least, most] = crowd.each();
  const { p50, p99, max } = crowd.times();
  write($('crowd-state'), `${crowd.stage}: ${count(got)} of ${count(expected)} deliveries.`);
  const reasons = [...crowd.reasons].map(([reason, times]) => `${reason} (${count(times)})`);
  facts($('crowd-facts'), [
    ['In the room', `${count(joined)} of ${count(wanted)}`],
    ['Published', count(published)],
    ['Accepted', count(accepted)],
    ['Each got', least === most ? count(least) : `${count(least)} – ${count(most)}`],
    ['p50', time(p50)],
    ['p99', time(p99)],
    ['Longest', time(max)],
    ...(reasons.length ? [['Refused or closed', reasons.join(', ')]] : []),
  ]);
}

hint();
state('Not connected');
