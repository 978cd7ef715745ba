// Readouts: the values of every curve under the pointer, the finger, or the arrow keys. The page is whole without them.
"use strict";
{
  const digits = (value) => (Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2);
  const number = (value, places = digits(value)) =>
    value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  const duration = (us) =>
    us < 999.5 ? `${number(us)} µs` : us < 999500 ? `${number(us / 1e3)} ms` : `${number(us / 1e6)} s`;
  const shows = {
    us: duration,
    cpu_us: (value) => `${number(value)} µs`,
    bytes: (value) => `${number(value, 0)} B`,
    kib: (value) => `${number(value / 1024)} MiB`,
    per_s: (value) => `${number(value, 0)} /s`,
    cores: (value) => number(value),
    count: (value) => number(value, 0),
  };
  const DECADES = 5.75;
  const quantile = (place) => {
    const decades = (place / 1000) * DECADES;
    if (decades > 5.05) return "Largest";
    const percent = (100 * (1 - 10 ** -decades)).toFixed(Math.max(1, Math.ceil(decades)));
    return `${percent.replace(/\.?0+$/, "")} % took at most`;
  };
  const make = (parent, name, className, text) => {
    const element = parent.appendChild(document.createElement(name));
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };

  /** The curve's value at a place: between two points of percentiles, of the nearest interval of a time line. */
  const valueAt = (points, place, between) => {
    let after = points.findIndex((point) => point[0] >= place - 0.005);
    if (!between) {
      if (after < 0) after = points.length - 1;
      if (after > 0 && place - points[after - 1][0] < points[after][0] - place) after -= 1;
      const apart = points.length > 1 ? (points.at(-1)[0] - points[0][0]) / (points.length - 1) : 20;
      return Math.abs(points[after][0] - place) <= apart * 0.75 ? points[after][1] : undefined;
    }
    if (after < 0 || (after === 0 && points[0][0] - place > 0.01)) return undefined;
    const [right, high] = points[after];
    if (after === 0 || right - place < 0.01) return high;
    const [left, low] = points[after - 1];
    return low + ((high - low) * (place - left)) / (right - left);
  };

  class Chart {
    constructor(figure) {
      this.plot = figure.querySelector(".plot");
      this.between = figure.dataset.x === "quantile";
      this.end = Number(figure.dataset.x);
      this.show = shows[figure.dataset.unit];
      this.curves = [...figure.querySelectorAll(".curve")].map((path) => ({
        path,
        name: path.dataset.name,
        colour: [...path.classList].find((name) => /^c\d$/.test(name)),
        points: path.dataset.points.trim().split(" ").filter(Boolean).map((pair) => pair.split(",").map(Number)),
      }));
      this.cross = make(this.plot, "div", "cross");
      this.readout = make(this.plot, "div", "readout");
      this.readout.setAttribute("role", "status");
      this.hide();
      this.plot.tabIndex = 0;
      this.plot.setAttribute("role", "group");
      this.plot.setAttribute("aria-roledescription", "chart: arrow keys read its values");
    }

    visible() {
      return this.curves.filter(({ path, points }) => points.length && getComputedStyle(path).display !== "none");
    }

    /** Where anything was measured, rising. */
    places() {
      return [...new Set(this.visible().flatMap(({ points }) => points.map(([place]) => place)))].sort((a, b) => a - b);
    }

    at(place, reads) {
      this.place = place;
      this.cross.style.left = `${place / 10}%`;
      this.cross.hidden = false;
      this.readout.hidden = !reads;
      if (!reads) return;
      const seconds = (place / 1000) * this.end;
      const head = this.between ? quantile(place) : `${number(seconds, this.end < 20 ? 1 : 0)} s`;
      this.readout.replaceChildren();
      make(this.readout, "b", "", head);
      for (const curve of this.visible()) {
        const value = valueAt(curve.points, place, this.between);
        const row = make(this.readout, "span");
        make(row, "i", curve.colour);
        make(row, "em", "", curve.name);
        make(row, "strong", "", value === undefined ? "–" : this.show(value));
      }
      // Beside the line, and inside of the chart with its labels: the page does not grow.
      const [width, across] = [this.readout.offsetWidth, this.plot.clientWidth];
      const beside = (place / 1000) * across + (place > 500 ? -10 - width : 10);
      this.readout.style.left = `${Math.max(Math.min(beside, across - width), -this.plot.offsetLeft)}px`;
    }

    hide() {
      this.cross.hidden = this.readout.hidden = true;
    }
  }

  for (const section of document.querySelectorAll("section")) {
    const charts = [...section.querySelectorAll(".chart[data-x]")].map((figure) => new Chart(figure));
    for (const chart of charts) {
      // The charts over time move together.
      const together = chart.between ? [chart] : charts.filter((other) => !other.between);
      const move = (place) => {
        for (const other of together) other.at((place * chart.end) / other.end || place, other === chart);
      };
      const leave = () => together.forEach((other) => other.hide());
      const point = (event) => {
        const { left, width } = chart.plot.getBoundingClientRect();
        const pointed = ((event.clientX - left) / width) * 1000;
        const places = chart.places();
        if (!places.length) return;
        move(places.reduce((best, place) => (Math.abs(place - pointed) < Math.abs(best - pointed) ? place : best)));
      };
      chart.plot.addEventListener("pointermove", point);
      chart.plot.addEventListener("pointerdown", point);
      chart.plot.addEventListener("pointerleave", leave);
      chart.plot.addEventListener("blur", leave);
      chart.plot.addEventListener("keydown", (event) => {
        const places = chart.places();
        const index = chart.cross.hidden ? -1 : places.indexOf(chart.place);
        const next = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: places.length - 1 }[event.key];
        if (event.key === "Escape") leave();
        if (next === undefined || !places.length) return;
        event.preventDefault();
        move(places[Math.min(Math.max(next, 0), places.length - 1)]);
      });
    }
  }
}
