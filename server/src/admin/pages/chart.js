// Lines over the samples of the last minutes. Series differ by their dashes, not by colour alone, and
// their last values stand beside their names.

import { SAMPLES_MAX } from './samples.js';
import { bytes, el, write } from './page.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 100;

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Prepares a figure: `series` are `[name, (point) => value or null]`. Returns what draws points. */
export function chart(figure, series, format) {
  const title = figure.querySelector('figcaption').firstChild.data.trim();
  const plot = svg('svg', { viewBox: `0 0 ${SAMPLES_MAX - 1} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
  for (const at of [0.25, 0.5, 0.75]) plot.append(svg('line', { class: 'grid', x1: 0, x2: SAMPLES_MAX - 1, y1: HEIGHT * at, y2: HEIGHT * at }));
  plot.append(svg('line', { class: 'zero', x1: 0, x2: SAMPLES_MAX - 1, y1: HEIGHT, y2: HEIGHT }));
  const legend = el('p', { className: 'legend' });
  const drawn = series.map(([name, of], index) => {
    const curve = svg('path', { class: `curve c${index}` });
    plot.append(curve);
    const key = svg('svg', { viewBox: '0 0 24 10', 'aria-hidden': 'true' });
    key.append(svg('path', { class: `curve c${index}`, d: 'M0 5H24' }));
    const value = el('b', {}, '–');
    legend.append(el('span', {}, key, `${name} `, value));
    return { name, of, curve, value };
  });
  const most = el('span', { className: 'most' });
  const axis = el('p', { className: 'axis', 'aria-hidden': 'true' }, el('span', {}, '3 min ago'), el('span', {}, 'now'));
  figure.append(legend, el('div', { className: 'plot' }, plot, most), axis);
  return (points) => {
    const values = drawn.map(({ of }) => points.map(of));
    const finite = values.flat().filter((value) => value !== null && value !== Infinity);
    const top = ceiling(Math.max(0, ...finite), format);
    drawn.forEach(({ curve, value }, index) => {
      curve.setAttribute('d', path(values[index], top));
      write(value, format(values[index].at(-1) ?? null));
    });
    write(most, finite.length ? format(top) : 'nothing yet');
    plot.setAttribute('aria-label', `${title}: ${drawn.map(({ name, value }) => `${name} ${value.textContent}`).join(', ')}`);
  };
}

/** The newest value stands at the right edge. */
function path(values, top) {
  let text = '';
  let pen = 'M';
  values.forEach((value, index) => {
    if (value === null) {
      pen = 'M';
      return;
    }
    const y = HEIGHT * (1 - Math.min(value, top) / top);
    const x = SAMPLES_MAX - values.length + index;
    text += `${pen}${x} ${y.toFixed(2)}`;
    // A value between two that are missing is a point.
    if (pen === 'M') text += 'h0.01';
    pen = 'L';
  });
  return text;
}

/** A round number that is not below this one, in the units in which it is written. */
function ceiling(most, format) {
  if (most <= 0) return 1;
  const unit = format === bytes ? 1024 ** Math.floor(Math.log2(most) / 10) : 1;
  const step = 10 ** Math.floor(Math.log10(most / unit));
  return [1, 2, 5, 10].map((times) => times * step * unit).find((round) => round >= most * 0.999);
}
