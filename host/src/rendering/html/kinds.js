// What each kind of chart draws: its axes, its series, and the text at a point. It computes no figure but places those
// in the page. This script and the ones after it share one scope.
'use strict';
const root = document.documentElement;
// The slots of the results that are switched off.
const hidden = new Set();
const css = name => getComputedStyle(root).getPropertyValue('--' + name).trim();

// Figures in the format of the rest of the page.
const digits = n => n < 9.995 ? n.toFixed(2) : n < 99.95 ? n.toFixed(1) : n.toFixed(0);
const count = n => Math.round(n).toLocaleString('en-US');
const rate = n => n < 100 ? digits(n) : count(n);
const duration = ns => {
  if (ns < 1e3) return Math.round(ns) + ' ns';
  if (ns < 999.5e3) return digits(ns / 1e3) + ' µs';
  if (ns < 999.5e6) return digits(ns / 1e6) + ' ms';
  if (ns < 99.95e9) return digits(ns / 1e9) + ' s';
  const s = Math.round(ns / 1e9), two = n => String(n).padStart(2, '0');
  return s < 7200 ? `${Math.floor(s / 60)} m ${two(s % 60)} s` : `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} m`;
};
const trim = text => text.replace(/(\.\d*?)0+ /, '$1 ').replace('. ', ' ').replace(/ m 00 s/, ' m').replace(/ h 00 m/, ' h');
// On an axis, millions have a letter, because there is no room for their zeros.
const amounts = at => at.map(n => at[at.length - 1] >= 1e6 && n ? `${+(n / 1e6).toPrecision(6)} M` : amount(n));
const amount = n => n < 100 ? String(+n.toPrecision(6)) : count(n);
const percent = part => trim(part === 0 ? '0 %' : part < 1e-4 ? '<0.01 %' : `${(part * 100).toFixed(part < .1 ? 2 : 1)} %`);
const seconds = s => s === 0 ? '0' : trim(duration(Math.round(s * 1e9)));
// An axis shows a minute as `1 m`, not as sixty seconds.
const tick = s => s < 60 || s >= 99.95 ? seconds(s) : trim(`1 m ${String(Math.round(s - 60)).padStart(2, '0')} s`);
const share = nines => Math.abs(nines - Math.log10(2)) < 1e-6 ? '50 %'
  : (100 - 100 / 10 ** nines).toFixed(Math.max(0, Math.ceil(nines) - 2 + (Number.isInteger(nines) ? 0 : 1))) + ' %';

const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const stepped = uPlot.paths.stepped({ align: 1 });
// The same for values that may be missing: each one holds until the end of its interval, also beside a gap.
const steps = (u, series, from, to) => {
  const stroke = new Path2D(), [xs, ys] = [u.data[0], u.data[series]];
  let level = null;
  for (let i = from; i <= to && i + 1 < xs.length; i++) {
    if (ys[i] == null) { level = null; continue; }
    const y = u.valToPos(ys[i], 'y', true), x = u.valToPos(xs[i], 'x', true);
    if (level === null) stroke.moveTo(x, y); else if (level !== y) stroke.lineTo(x, y);
    stroke.lineTo(u.valToPos(xs[i + 1], 'x', true), y);
    level = y;
  }
  return { stroke };
};
// Intervals are not connected, because maxima of neighbours are unrelated.
const apart = (u, series, from, to) => {
  const stroke = new Path2D(), [xs, ys] = [u.data[0], u.data[series]];
  for (let i = from; i <= to && i + 1 < xs.length; i++) {
    if (ys[i] == null) continue;
    const y = u.valToPos(ys[i], 'y', true);
    stroke.moveTo(u.valToPos(xs[i], 'x', true), y);
    stroke.lineTo(u.valToPos(xs[i + 1], 'x', true), y);
  }
  return { stroke };
};
// The value of an interval holds until its end, so the last value is repeated there.
const held = values => values.concat(values.length ? [values[values.length - 1]] : []);
const shown = results => results.filter(result => !hidden.has(result.slot));

// eslint-disable-next-line prefer-const -- report.js assigns it
let hatches = {};
const hatch = colour => hatches[colour] ||= (() => {
  const tile = document.createElement('canvas'), scale = devicePixelRatio || 1;
  tile.width = tile.height = 8 * scale;
  const ink = tile.getContext('2d');
  ink.scale(scale, scale);
  ink.fillStyle = css('paper');
  ink.fillRect(0, 0, 8, 8);
  ink.strokeStyle = colour;
  ink.lineWidth = 2.6;
  ink.beginPath();
  for (const at of [-4, 4, 12]) { ink.moveTo(at - 5, 9); ink.lineTo(at + 5, -1); }
  ink.stroke();
  return ink.createPattern(tile, 'repeat');
})();

// So much space for a label that an axis has several.
const space = most => (_, _axis, _from, _to, length) => Math.min(most, length / 5.2);
const time = {
  scale: 'x', values: (_, at) => at.map(tick), space: space(70),
  incrs: [.001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400],
};
const nines = {
  scale: 'x', space: 40,
  // A label for which there is no room is left out.
  values: (u, at) => {
    let end = -Infinity;
    return at.map(n => {
      const text = share(n), half = text.length * 3.6, middle = u.valToPos(n, 'x');
      if (middle - half < end) return '';
      end = middle + half + 8;
      return text;
    });
  },
  splits: (_, _a, from, to) => [Math.log10(2), ...(to < 2 ? [Math.log10(4)] : []), 1, 2, 3, 4, 5, 6, 7].filter(n => n >= from - 1e-9 && n <= to),
  grid: { show: true },
};
// Steps of an axis of what is counted.
const whole = Array.from({ length: 16 }, (_, i) => [1, 2, 5].map(n => n * 10 ** i)).flat();
const tint = (name, strength) => `color-mix(in srgb, ${css(name)} ${strength}%, transparent)`;
const line = (label, colour, options) =>
  ({ label, stroke: colour, width: 1.5, points: { show: false }, swatch: colour, ...options });

// The bins of a column of a heat map, and where they begin in nanoseconds.
const binned = counts => {
  const bins = [];
  let bin = 0;
  for (const n of counts) n < 0 ? bin -= n : bins.push([bin++, n]);
  return bins;
};
const begins = bin => bin < 100 ? Math.max(bin, 1) : ((bin - 10) % 90 + 10) * 10 ** Math.floor((bin - 10) / 90);
// A heat map as a table.
const heatRows = data => {
  const rows = data.columns.flatMap((counts, i) => binned(counts).map(([bin, n]) => [data.at_s[i], data.at_s[i + 1], begins(bin), begins(bin + 1), n]));
  return ['from_s', 'to_s', 'from_ns', 'to_ns', 'operations'].map((name, i) => [name, rows.map(row => row[i])]);
};

const kinds = {
  throughput(data) {
    const results = shown(data.results);
    const layers = [...results].map(result => ({ ...result, colour: css(result.colour) }));
    if (data.others) layers.push({ result: 'others', rate: data.others, colour: css('others') });
    const sums = new Array(data.at_s.length - 1).fill(0);
    const stacked = layers.map(layer => {
      layer.rate.forEach((part, i) => { sums[i] += part; });
      return sums.slice();
    });
    const series = layers.map(layer => ({
      ...line(layer.result, layer.colour, { width: 1 }), paths: stepped, bad: layer.bad,
      fill: layer.bad ? () => hatch(layer.colour) : layer.colour, value: at => rate(layer.rate[at] ?? 0) + '/s',
    }));
    const due = data.due_per_s ? [{ ...line('offered', css('soft'), { width: 1.5, dash: [5, 4] }), paths: stepped, value: at => rate(data.due_per_s[at] ?? 0) + '/s' }] : [];
    // The highest layer is drawn first, so that each of the others covers the part below its own.
    return {
      x: time, xs: data.at_s, edges: true, y: { values: (_, at) => amounts(at) }, range: [0, null],
      series: [...series.reverse(), ...due], columns: [...stacked.map(held).reverse(), ...due.map(() => held(data.due_per_s))],
      draw: data.drain && (u => between(u, data.drain)),
      head: at => `${seconds(data.at_s[at])} – ${seconds(data.at_s[at + 1] ?? data.at_s[at])}`,
      foot: at => hidden.size ? null : ['all', rate(data.completed_per_s[at] ?? 0) + '/s'],
    };
  },
  failures(data) {
    const results = shown(data.results);
    const all = line('not ok', css('bad-0'), { paths: stepped, width: 0, fill: tint('bad-0', 18), skip: results.length > 0 });
    const lines = results.map(result => line(result.result, css(result.colour), { paths: stepped, width: 1.8, bad: true }));
    const some = hidden.size ? [] : [all];
    const dropped = data.dropped_per_s ? [line('never started', css('soft'), { paths: stepped, width: 1.8, dash: [2, 2] })] : [];
    return {
      x: time, xs: data.at_s, edges: true, y: { values: (_, at) => amounts(at) }, range: [0, null],
      series: [...some, ...dropped, ...lines],
      columns: [...(hidden.size ? [] : [data.failed_per_s]), ...dropped.map(() => data.dropped_per_s), ...results.map(r => r.rate)].map(held),
      show: value => rate(value) + '/s', head: at => seconds(data.at_s[at]),
    };
  },
  latency(data) {
    const names = ['max', 'p99', 'p90', 'p50'];
    return {
      x: time, xs: data.at_s, edges: true, y: logarithmic, log: true, key: true,
      series: [line('max', css('max'), { paths: apart, width: 2 }),
        ...names.slice(1).map(name => line(name, css(name), { paths: steps, width: name === 'p50' ? 2 : 1.2 }))],
      bands: [{ series: [2, 3], fill: tint('p50', 7) }, { series: [3, 4], fill: tint('p50', 15) }],
      columns: names.map(name => held(data[name + '_ns'])), show: duration, head: at => seconds(data.at_s[at]),
      draw: data.drain && (u => between(u, data.drain)),
    };
  },
  percentiles(data) {
    const results = shown(data.results);
    const curves = [...results.map(result => result.curve), ...(hidden.size ? [] : [data.all])];
    const xs = curves.reduce((most, curve) => curve.nines.length > most.length ? curve.nines : most, data.all.nines);
    const series = results.map(result => line(result.result, css(result.colour), { bad: result.bad }));
    if (!hidden.size) series.push(line('all', css('all'), { width: 2.2 }));
    return {
      xs, y: logarithmic, log: true, series, show: duration,
      x: nines, xrange: [undefined, Math.max(1, xs[xs.length - 1])], columns: curves.map(curve => xs.map((_, i) => curve.ns[i] ?? null)), head: at => `${share(xs[at])} took at most`,
    };
  },
  heat(data) {
    const columns = data.columns.map(binned);
    const all = columns.flat();
    const low = all.reduce((least, [bin]) => Math.min(least, bin), 4000);
    const high = all.reduce((most, [bin]) => Math.max(most, bin), 0);
    return {
      x: time, xs: data.at_s, edges: true, y: logarithmic, log: true, key: true, range: [begins(low) / 1.05, begins(high + 1) * 1.05],
      series: [{ paths: () => null, points: { show: false }, value: () => null }], columns: [data.at_s.map(() => begins(high))],
      draw: u => heat(u, data.at_s, columns), head: at => seconds(data.at_s[at]),
      at: (u, at) => {
        const y = u.posToVal(u.cursor.top, 'y');
        const near = columns[at]?.find(([bin]) => begins(bin) <= y && y < begins(bin + 1));
        return [[`${duration(y)}`, near ? count(near[1]) + ' operations' : 'none']];
      },
    };
  },
  scaling(data) {
    return {
      xs: data.in_flight, y: { values: (_, at) => amounts(at) }, range: [0, null], xrange: [0, null], show: value => rate(value) + '/s',
      x: { scale: 'x', values: (_, at) => at.map(n => Number.isInteger(n) ? n : ''), space: 40 },
      series: [line('ideal', css('faint'), { dash: [5, 4] }), line('measured', css('all'), { width: 2.2, points: { show: true, size: 8, fill: css('all') } })],
      columns: [data.ideal_per_s, data.throughput_per_s], head: at => `${data.shape[at]}: ${data.in_flight[at]} in flight`,
    };
  },
  lines(data) {
    const per_s = value => rate(value) + '/s', show = { ns: duration, per_s, share: percent, count }[data.unit] ?? digits;
    const [x, head] = {
      time: [time, at => seconds(data.x[at])],
      nines: [nines, at => `${share(data.x[at])} took at most`],
      rate: [{ ...logarithmic, scale: 'x', values: (_, at) => amounts(at) }, at => per_s(data.x[at])],
    }[data.by];
    // Points that say little are hollow: a series of their own.
    const full = each => each.y.map((y, i) => data.hollow?.[i] ? null : y), rest = each => each.y.map((y, i) => data.hollow[i] ? y : null);
    const columns = data.lines.flatMap(each => !each.points ? [data.steps ? held(each.y) : each.y] : data.hollow ? [full(each), rest(each)] : [each.y]);
    const series = data.lines.flatMap(each => {
      const colour = css(each.colour), points = fill => line(each.name, colour, { paths: () => null, points: { show: true, size: 7, width: 1.5, fill } });
      if (each.points) return data.hollow ? [points(colour), points(css('paper'))] : [points(colour)];
      return [line(each.name, colour, { paths: data.steps ? steps : undefined, width: 1.8, dash: each.dashed ? [6, 3] : undefined, spanGaps: !data.steps })];
    });
    return {
      xs: data.x, x, y: data.unit === 'ns' ? logarithmic : { values: (_, at) => data.unit === 'share' ? at.map(percent) : amounts(at), ...(data.unit === 'count' && { incrs: whole }) },
      log: data.unit === 'ns', range: data.unit === 'ns' ? undefined : [0, data.unit === 'count' && !data.lines.some(({ y }) => y.some(n => n > 2)) ? 2.1 : null], 
      xlog: data.by === 'rate', xrange: { time: [0, data.to ?? null], nines: [undefined, Math.max(1, data.x[data.x.length - 1])] }[data.by], edges: data.steps, show, key: true, head, draw: data.between && (u => between(u, data.between)), series, columns,
    };
  },
};

const logarithmic = {
  splits: (u, _axis, from, to) => {
    const decades = Math.log10(to / from), leads = decades < 1.3 ? [1, 2, 3, 5, 7] : decades < 2.6 ? [1, 2, 5] : [1];
    let splits = [];
    for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
      for (const lead of leads) if (lead * 10 ** power >= from && lead * 10 ** power <= to) splits.push(lead * 10 ** power);
    }
    if (splits.length < 3) {
      const third = (to - from) / 3, power = 10 ** Math.floor(Math.log10(third));
      const step = [5, 2, 1].map(lead => lead * power).find(wide => wide <= third) ?? third, first = Math.ceil(from / step);
      splits = Array.from({ length: Math.floor(to / step) - first + 1 }, (_, i) => (first + i) * step);
    }
    return splits;
  },
  values: (_, at) => at.map(ns => trim(duration(ns) + ' ').trim()),
  filter: (_, at) => at,
};

// Fills the range between two values of the axis.
const between = (u, [from, to]) => {
  const [left, right] = [from, to].map(x => u.valToPos(x, 'x', true));
  u.ctx.fillStyle = tint('warning', 22);
  u.ctx.fillRect(left, u.bbox.top, Math.max(2, right - left), u.bbox.height);
};

// Rows of equal height. The operations of a bin are divided among the rows that it overlaps, in proportion.
const heat = (u, edges, columns) => {
  const { left, top, width, height } = u.bbox, ink = u.ctx, tall = Math.max(3, Math.round(3 * (devicePixelRatio || 1)));
  const rows = Math.ceil(height / tall), y = ns => u.valToPos(ns, 'y', true) - top;
  const cells = columns.map(bins => {
    const row = new Float64Array(rows);
    for (const [bin, n] of bins) {
      const bottom = y(begins(bin)), high = y(begins(bin + 1)), span = Math.max(bottom - high, .01);
      for (let i = Math.max(0, Math.floor(high / tall)); i < rows && i * tall < bottom; i++) {
        row[i] += n * Math.max(0, Math.min(bottom, (i + 1) * tall) - Math.max(high, i * tall)) / span;
      }
    }
    return row;
  });
  const most = Math.max(1, ...cells.map(row => Math.max(...row)));
  const shades = Array.from({ length: 7 }, (_, i) => css('heat-' + i));
  ink.save();
  ink.beginPath();
  ink.rect(left, top, width, height);
  ink.clip();
  cells.forEach((row, i) => {
    const from = Math.round(u.valToPos(edges[i], 'x', true)), to = Math.round(u.valToPos(edges[i + 1], 'x', true));
    row.forEach((n, at) => {
      if (n < .05) return;
      ink.fillStyle = shades[Math.min(6, Math.round(Math.log(n + 1) / Math.log(most + 1) * 6))];
      ink.fillRect(from, top + at * tall, Math.max(1, to - from), tall);
    });
  });
  ink.restore();
};
