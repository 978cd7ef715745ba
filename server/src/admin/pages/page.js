// What both pages are made of: elements, tables that keep their focus, and how values are written.
// Whatever comes from clients becomes text here, never markup.

export const $ = (id) => document.getElementById(id);

/** An element with these properties and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Changes a text only if it is another one, so that selections and readers are not disturbed. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A table's rows by key: a row that stays keeps its elements, and with them the focus.
 * Columns are `{ text, class }`, or `{ make, class }` for what is made once, or `{ draw, class }` for
 * what is made and drawn anew each time.
 */
export function rows(table, columns, keyOf, empty) {
  const body = table.tBodies[0];
  // It scrolls by keyboard, too, where it is wider than its box.
  Object.assign(table.parentElement, { role: 'region', tabIndex: 0 });
  const shown = new Map();
  const nothing = el('tr', {}, el('td', { className: 'empty', colSpan: columns.length }, empty));
  body.append(nothing);
  return (items) => {
    const stays = new Set(items.map(keyOf));
    for (const [key, row] of shown) {
      if (stays.has(key)) continue;
      if (row.more) row.more.remove();
      row.remove();
      shown.delete(key);
    }
    let before = null;
    for (const item of items) {
      let row = shown.get(keyOf(item));
      if (!row) {
        row = el('tr', {}, ...columns.map((column) => {
          const cell = el('td', { className: column.class ?? '' });
          if (column.make) cell.append(column.make(item));
          return cell;
        }));
        shown.set(keyOf(item), row);
      }
      columns.forEach((column, index) => {
        const cell = row.cells[index];
        if (column.text) write(cell, column.text(item));
        if (column.draw) column.draw(cell, item);
        if (column.class === 'left name' && cell.title !== cell.textContent) cell.title = cell.textContent;
      });
      const place = before ? (before.more ?? before).nextSibling : body.firstChild;
      if (place !== row) body.insertBefore(row, place);
      if (row.more && row.nextSibling !== row.more) row.after(row.more);
      before = row;
    }
    nothing.hidden = items.length > 0;
    body.append(nothing);
  };
}

/** The first facts of something, as a list of terms. */
export function facts(list, pairs) {
  list.replaceChildren(...pairs.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, value))));
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const count = (value) => whole.format(value);

/** A number of things a second. */
export function rate(value) {
  if (value === null) return '–';
  if (value > 0 && value < 10) return value.toFixed(1);
  return value < 1e6 ? whole.format(value) : short.format(value);
}

export function bytes(value) {
  if (value === null) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : whole.format(value)} ${units[unit]}`;
}

/** Microseconds as people read them. */
export function time(us) {
  if (us === null) return '–';
  if (us === Infinity) return 'over a minute';
  if (us < 1000) return `${us < 10 ? us.toFixed(1) : whole.format(us)} µs`;
  if (us < 1e6) return `${us < 1e5 ? (us / 1e3).toFixed(1) : whole.format(us / 1e3)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

export function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

export const clock = () => new Date().toLocaleTimeString('en-GB');
