// The dashboard: asks for the shards' counters once a second while somebody looks, and draws them.

import { Problem, call, token } from './calls.js';
import { chart } from './chart.js';
import { lists } from './lists.js';
import { $, bytes, clock, count, duration, el, rate, rows, time, write } from './page.js';
import { Samples } from './samples.js';

const EVERY_MS = 1_000;
/** A server that does not answer is asked less often. */
const PATIENT_MS = 5_000;
/** Seconds between two looks at what changes slowly. */
const INFO_EVERY = 2;

let samples = new Samples();
let paused = false;
let gated = false;
let beats = 0;
let timer = 0;
let running = false;

const rateOf = (name) => (point) => point.rates[name];
const timesOf = (name) => [['p50', (point) => point.times[name].p50], ['p99', (point) => point.times[name].p99]];
const charts = [
  chart($('chart-messages'), [['in', rateOf('messages_in')], ['delivered', rateOf('deliveries')]], rate),
  chart($('chart-bytes'), [['in', rateOf('bytes_in')], ['out', rateOf('bytes_out')]], bytes),
  chart($('chart-connections'), [['open', (point) => point.sums.connections]], (value) => (value === null ? '–' : count(value))),
  ...['tick', 'hop', 'publish'].map((name) => chart($(`chart-${name}`), timesOf(name), time)),
];

const showShards = rows($('shards'), [
  { text: (shard) => String(shard.shard) },
  { draw: drawBusy },
  { text: (shard) => count(shard.connections) },
  { text: (shard) => count(shard.rooms) },
  { text: (shard) => count(shard.lane_depth) },
  { text: (shard) => count(shard.outboxes) },
  { text: (shard) => bytes(shard.outbox_bytes) },
  { text: (shard) => count(shard.cursors) },
  { text: (shard) => rate(shard.in_rate) },
  { text: (shard) => rate(shard.out_rate) },
  { text: (shard) => count(shard.closed_slow) },
  { text: (shard) => bytes(shard.held_bytes) },
], (shard) => shard.shard, 'No shards yet.');

function drawBusy(cell, { busy }) {
  if (!cell.firstChild) cell.append(el('span', { className: 'busy' }, el('span', { className: 'bar' }, el('i')), el('span')));
  const [bar, text] = cell.firstChild.children;
  bar.firstChild.style.width = `${(busy ?? 0) * 100}%`;
  write(text, busy === null ? '–' : `${(busy * 100).toFixed(busy < 0.1 ? 1 : 0)} %`);
}

function show(now) {
  const { sums, rates } = now;
  write($('connections'), count(sums.connections));
  for (const [id, name] of [['messages-in', 'messages_in'], ['publishes', 'publishes'], ['deliveries', 'deliveries']]) {
    write($(id), rates[name] === null ? '–' : `${rate(rates[name])} / s`);
    write($(`${id}-total`), `${count(sums[name])} in all`);
  }
  write($('rooms'), count(sums.rooms));
  write($('users'), count(sums.users));
  write($('slow'), count(sums.outboxes));
  write($('slow-bytes'), sums.outboxes ? `${bytes(sums.outbox_bytes)} waiting` : 'nothing waits');
  write($('memory'), bytes(sums.held_bytes));
  showShards(now.shards);
  for (const draw of charts) draw(samples.points);
}

const STAGES = { serving: ['Serving', 'good'], lame_duck: ['Lame duck', 'doubt'], draining: ['Draining', 'doubt'] };

function showInfo(info) {
  write($('version'), info.version);
  write($('connections-max'), `of ${count(info.connections_max)}`);
  const [stage, kind] = STAGES[info.stage] ?? [info.stage, ''];
  const driver = info.driver === 'uring' ? 'io_uring' : info.driver;
  const parts = [
    el('span', { className: `mark ${kind}`, id: 'stage' }, stage),
    el('span', { id: 'driver', title: info.kernel }, `driver ${driver}`),
    el('span', {}, `${info.shards} ${info.shards === 1 ? 'shard' : 'shards'}`),
    el('span', {}, `up ${duration(info.uptime_seconds)}`),
  ];
  $('server').replaceChildren(...parts);
  const words = {
    lame_duck: 'This server is told to stop: it serves new clients yet, and tells balancers to send no more.',
    draining: `This server is draining: ${count(info.connections)} connections are left.`,
  };
  notice(words[info.stage] ?? '');
}

function notice(text, bad = false) {
  $('notice').className = bad ? 'notice bad' : 'notice';
  $('notice').hidden = !text;
  write($('notice'), text);
}

/** Asks for the token, saying why. */
function gate(problem) {
  gated = true;
  $('board').hidden = true;
  $('gate').hidden = false;
  $('forget').hidden = true;
  const wrong = token.get() !== null;
  token.forget();
  const why = problem.status === 429 ? problem.message : wrong ? 'The server does not take this token (401).' : '';
  write($('gate-problem'), why);
  notice('');
  $('gate-token').focus();
}

$('gate-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('gate-token').value.trim();
  if (!token.fits(text)) {
    write($('gate-problem'), 'A token has 32 to 512 visible ASCII characters.');
    return;
  }
  token.keep(text);
  $('gate-token').value = '';
  write($('gate-problem'), '');
  gated = false;
  beat();
});

$('forget').addEventListener('click', () => {
  token.forget();
  location.reload();
});

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  write($('pause'), paused ? 'Go on' : 'Pause');
  if (paused) notice(`Paused at ${clock()}: what is shown is of then.`);
  else beat();
});

/** Whoever does not look costs the server nothing. */
document.addEventListener('visibilitychange', beat);

/** What changes is asked for, and then again. */
async function beat() {
  clearTimeout(timer);
  if (running || paused || gated || document.hidden) return;
  running = true;
  let pause = EVERY_MS;
  try {
    const shards = await call('/api/shards');
    if (beats % INFO_EVERY === 0) showInfo(await call('/api/info'));
    if ($('board').hidden) opened();
    const now = samples.take(shards);
    show(now);
    await parts.beat(beats, now);
    beats += 1;
  } catch (problem) {
    pause = failed(problem);
  } finally {
    running = false;
  }
  timer = setTimeout(beat, pause);
}

function opened() {
  $('gate').hidden = true;
  $('board').hidden = false;
  $('forget').hidden = token.get() === null;
}

function failed(problem) {
  if (!(problem instanceof Problem)) {
    notice(`This page has a fault: ${problem.message}`, true);
    return PATIENT_MS;
  }
  if (problem.status === 401 || (problem.status === 429 && $('board').hidden && token.get())) {
    gate(problem);
    return EVERY_MS;
  }
  beats = 0;
  const since = $('board').hidden ? '' : ' What is shown is from before.';
  notice(problem.status === 0 ? `The server does not answer.${since}` : `${problem.message} (${problem.status}).${since}`, true);
  return PATIENT_MS;
}

const parts = lists();
beat();
