// Draws the page's data with uPlot in place of its SVG: to be hovered, zoomed, filtered. Computes no figure: it places
// those that the page brings. Without it the page reads as well, but for that.
(() => {
  'use strict';
  const root = document.documentElement;
  root.classList.add('js');
  const hidden = new Set();
  let charts = [];
  const css = name => getComputedStyle(root).getPropertyValue('--' + name).trim();

  // Figures as the rest of the page writes them.
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
  const amount = n => n < 100 ? String(+n.toPrecision(6)) : count(n);
  const seconds = s => s === 0 ? '0' : trim(duration(Math.round(s * 1e9)));
  const share = nines => nines === 0 ? '0' : Math.abs(nines - Math.log10(2)) < 1e-6 ? '50 %'
    : (100 - 100 / 10 ** nines).toFixed(Math.max(0, Math.ceil(nines) - 2 + (Number.isInteger(nines) ? 0 : 1))) + ' %';

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // ---- What each kind of chart draws: its axes, its series, what is said at a point. ----

  const stepped = uPlot.paths.stepped({ align: 1 });
  // An interval's value holds until its end, so the last one is drawn once more there.
  const held = values => values.concat(values.length ? [values[values.length - 1]] : []);
  const shown = results => results.filter(result => !hidden.has(result.slot));

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

  const time = {
    scale: 'x', values: (_, at) => at.map(seconds), space: 70,
    incrs: [.001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400],
  };
  const tint = (name, percent) => `color-mix(in srgb, ${css(name)} ${percent}%, transparent)`;
  const line = (label, colour, options) =>
    ({ label, stroke: colour, width: 1.5, points: { show: false }, swatch: colour, ...options });

  const kinds = {
    throughput(data) {
      const results = shown(data.results);
      const layers = [...results].map(result => ({ ...result, colour: css(result.colour) }));
      if (data.others) layers.push({ result: 'others', rate: data.others, colour: css('others') });
      const sums = new Array(data.at_s.length - 1).fill(0);
      const stacked = layers.map(layer => {
        layer.rate.forEach((rate, i) => { sums[i] += rate; });
        return sums.slice();
      });
      const series = layers.map((layer, i) => ({
        ...line(layer.result, layer.colour, { width: 1, dash: layer.dashed ? [5, 3] : undefined }), paths: stepped, bad: layer.bad,
        fill: layer.bad ? () => hatch(layer.colour) : layer.colour, value: at => rate(layer.rate[at] ?? 0) + '/s',
      }));
      // The highest first, so that each covers what is beneath it but not its own.
      return {
        height: 250, x: time, xs: data.at_s, edges: true, y: { values: (_, at) => at.map(amount) }, range: [0, null],
        series: series.reverse(), columns: stacked.map(held).reverse(),
        head: at => `${seconds(data.at_s[at])} – ${seconds(data.at_s[at + 1] ?? data.at_s[at])}`,
        foot: at => hidden.size ? null : ['all', rate(data.completed_per_s[at] ?? 0) + '/s'],
      };
    },
    failures(data) {
      const results = shown(data.results);
      const all = line('not ok', css('bad-0'), { paths: stepped, width: 0, fill: tint('bad-0', 18), skip: results.length > 0 });
      const lines = results.map(result => line(result.result, css(result.colour), { paths: stepped, width: 1.8, bad: true,
        dash: result.dashed ? [5, 3] : undefined }));
      const some = hidden.size ? [] : [all];
      const dropped = data.dropped_per_s ? [line('never started', css('soft'), { paths: stepped, width: 1.8, dash: [2, 2] })] : [];
      return {
        height: 130, x: time, xs: data.at_s, edges: true, y: { values: (_, at) => at.map(amount), space: 34 }, range: [0, null],
        series: [...some, ...dropped, ...lines],
        columns: [...(hidden.size ? [] : [data.failed_per_s]), ...dropped.map(() => data.dropped_per_s), ...results.map(r => r.rate)].map(held),
        show: value => rate(value) + '/s', head: at => seconds(data.at_s[at]),
      };
    },
    latency(data) {
      const names = ['max', 'p99', 'p90', 'p50'];
      return {
        height: 250, x: time, xs: data.at_s, edges: true, y: logarithmic, log: true, key: true,
        series: [line('max', css('max'), { paths: () => null, points: { show: true, size: 3, width: 0, fill: css('max') } }),
          ...names.slice(1).map(name => line(name, css(name), { paths: stepped, width: name === 'p50' ? 2 : 1.2 }))],
        bands: [{ series: [2, 3], fill: tint('p50', 7) }, { series: [3, 4], fill: tint('p50', 15) }], tall: true,
        columns: names.map(name => held(data[name + '_ns'])), show: duration, head: at => seconds(data.at_s[at]),
      };
    },
    percentiles(data) {
      const results = shown(data.results);
      const curves = [...results.map(result => result.curve), ...(hidden.size ? [] : [data.all])];
      const xs = curves.reduce((most, curve) => curve.nines.length > most.length ? curve.nines : most, data.all.nines);
      const series = results.map(result => line(result.result, css(result.colour), { bad: result.bad,
        dash: result.dashed ? [5, 3] : undefined }));
      if (!hidden.size) series.push(line('all', css('all'), { width: 2.2 }));
      return {
        height: 250, xs, y: logarithmic, log: true, series, show: duration,
        x: { scale: 'x', splits: (_u, _a, from, to) => [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7].filter(n => n >= from && n <= to),
          values: (_, at) => at.map(share), space: 40 },
        columns: curves.map(curve => xs.map((_, i) => curve.ns[i] ?? null)),
        head: at => at === 0 ? 'the fastest' : `${share(xs[at])} took at most`,
      };
    },
    heat(data) {
      const columns = data.columns.map(counts => {
        const bins = [];
        let bin = 0;
        for (const n of counts) n < 0 ? bin -= n : bins.push([bin++, n]);
        return bins;
      });
      const begins = bin => bin < 100 ? Math.max(bin, 1) : ((bin - 10) % 90 + 10) * 10 ** Math.floor((bin - 10) / 90);
      const all = columns.flat();
      const low = all.reduce((low, [bin]) => Math.min(low, bin), 4000), high = all.reduce((high, [bin]) => Math.max(high, bin), 0);
      return {
        height: 250, x: time, xs: data.at_s, edges: true, y: logarithmic, log: true, range: [begins(low) / 1.05, begins(high + 1) * 1.05],
        series: [{ paths: () => null, points: { show: false }, value: () => null }], columns: [data.at_s.map(() => begins(high))],
        draw: u => heat(u, data.at_s, columns, begins), head: at => seconds(data.at_s[at]),
        at: (u, at) => {
          const y = u.posToVal(u.cursor.top, 'y');
          const near = columns[at]?.find(([bin]) => begins(bin) <= y && y < begins(bin + 1));
          return [[`${duration(y)}`, near ? count(near[1]) + ' operations' : 'none']];
        },
      };
    },
    scaling(data) {
      return {
        height: 270, xs: data.in_flight, y: { values: (_, at) => at.map(amount) }, range: [0, null], xrange: [0, null], show: value => rate(value) + '/s',
        x: { scale: 'x', values: (_, at) => at.map(n => Number.isInteger(n) ? n : ''), space: 40 },
        series: [line('ideal', css('faint'), { dash: [5, 4] }), line('measured', css('all'), { width: 2.2, points: { show: true, size: 8, fill: css('all') } })],
        columns: [data.ideal_per_s, data.throughput_per_s], head: at => `${data.shape[at]}: ${data.in_flight[at]} in flight`,
      };
    },
    lines(data) {
      const show = data.unit === 'ns' ? duration : data.unit === 'per_s' ? value => rate(value) + '/s' : digits;
      const head = data.nines ? at => at === 0 ? 'the fastest' : `${share(data.x[at])} took at most` : at => seconds(data.x[at]);
      const nines = kinds.nines ||= { scale: 'x', values: (_, at) => at.map(share), space: 40,
        splits: (_u, _a, from, to) => [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7].filter(n => n >= from && n <= to) };
      return {
        height: 230, xs: data.x, x: data.nines ? nines : time, y: data.unit === 'ns' ? logarithmic : { values: (_, at) => at.map(show) },
        log: data.unit === 'ns', range: data.unit === 'ns' ? undefined : [0, null], edges: data.steps, show, key: true, head,
        series: data.lines.map(each => line(each.name, css(each.colour), { paths: data.steps ? stepped : undefined, width: 1.8,
          dash: each.dashed ? [6, 3] : undefined, spanGaps: !data.steps })),
        columns: data.lines.map(each => data.steps ? held(each.y) : each.y),
      };
    },
  };

  const logarithmic = {
    splits: (u, _axis, from, to) => {
      const leads = Math.log10(to / from) < 1.3 ? [1, 2, 3, 5, 7] : [1], splits = [];
      for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
        for (const lead of leads) if (lead * 10 ** power >= from && lead * 10 ** power <= to) splits.push(lead * 10 ** power);
      }
      return splits;
    },
    values: (_, at) => at.map(ns => trim(duration(ns) + ' ').trim()),
    filter: (_, at) => at,
  };

  // Rows of equal height: a bin's operations fall into those that it covers, by how much of it each covers.
  const heat = (u, edges, columns, begins) => {
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

  // ---- One chart: uPlot, a tip at the pointer or the arrow keys, zoom in step with the others over time. ----

  const said = element('div', 'visually-hidden');
  said.setAttribute('aria-live', 'polite');
  document.body.append(said);

  const tip = (chart, u) => {
    const at = u.cursor.idx, box = chart.tip;
    box.hidden = at == null || u.cursor.left < 0;
    if (box.hidden) return;
    const i = chart.kind.edges ? Math.min(at, chart.kind.xs.length - 2) : at, { kind } = chart;
    const rows = kind.at ? kind.at(u, i).map(([label, value]) => ({ label, value })) : kind.series.map((series, s) => ({
      label: series.label, swatch: series.swatch, bad: series.bad, skip: series.skip,
      value: series.value ? series.value(i) : kind.columns[s][i] == null ? null : kind.show(kind.columns[s][i]),
    })).filter(row => row.value != null && !row.skip).reverse();
    const foot = kind.foot?.(i);
    if (foot) rows.push({ label: foot[0], value: foot[1] });
    box.replaceChildren(element('b', '', kind.head(i)), ...rows.slice(0, 24).map(row => {
      const line = element('div'), text = element('bdi', 'text', row.label), swatch = element('span', 'swatch', row.bad ? '✕' : '');
      if (row.swatch) { swatch.style.setProperty('--c', row.swatch); line.append(swatch); }
      line.append(text, element('span', 'value', row.value));
      return line;
    }));
    const width = chart.plot.clientWidth, x = u.cursor.left + u.over.offsetLeft;
    box.style.left = (x + box.offsetWidth + 24 > width ? Math.max(0, x - box.offsetWidth - 12) : x + 12) + 'px';
    box.style.top = Math.max(0, u.over.offsetTop + 6) + 'px';
    if (chart.speaks) said.textContent = [...box.children].map(line => line.textContent).join(', ');
    chart.speaks = false;
  };

  const keys = (chart, event) => {
    const { u, kind } = chart, last = kind.xs.length - (kind.edges ? 2 : 1);
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (event.key === 'Escape') u.setCursor({ left: -10, top: -10 });
    if (!(event.key in steps)) return;
    event.preventDefault();
    chart.speaks = true;
    chart.at = Math.max(0, Math.min(last, (chart.at ?? -1) + steps[event.key]));
    u.setCursor({ left: u.valToPos(kind.xs[chart.at], 'x') + .5, top: u.over.clientHeight / 2 });
  };

  const axis = options => ({
    stroke: css('faint'), grid: { stroke: css('grid'), width: 1 }, ticks: { show: false }, border: { show: false },
    font: '11px ' + css('sans'), ...options,
  });

  const draw = chart => {
    const { figure, plot } = chart, kind = kinds[figure.dataset.chart](chart.data);
    chart.kind = kind;
    chart.u?.destroy();
    chart.tip?.remove();
    plot.classList.add('drawn');
    chart.tip = element('div', 'tip');
    chart.tip.hidden = true;
    const over = kind.x === time;
    const grow = (_, from, to) => [kind.range?.[0] ?? from, kind.range?.[1] ?? (to > 0 ? to * 1.06 : 1)];
    const log = (_, from, to) => kind.range ?? [Math.max(1, from) / 1.15, Math.max(1, to) * 1.15];
    const options = {
      width: Math.max(200, plot.clientWidth), height: kind.height, ms: 1, bands: kind.bands, legend: { show: false },
      scales: {
        x: { time: false, range: (_, from, to) => [kind.xrange?.[0] ?? from, to > from ? to : from + 1] },
        y: kind.log ? { distr: 3, range: log } : { range: grow },
      },
      axes: [axis({ size: 30, gap: 6, ...kind.x, grid: { show: false } }), axis({ size: 58, gap: 6, ...kind.y })],
      series: [{}, ...kind.series],
      cursor: { sync: over ? { key: 'time', setSeries: false, scales: ['x', null] } : undefined, points: { show: false }, y: figure.dataset.chart === 'heat', drag: { x: true, y: false } },
      hooks: {
        setCursor: [u => tip(chart, u)],
        setSelect: [u => { if (u.select.width > 4) zoom(over ? null : chart, u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')); }],
        draw: kind.draw ? [kind.draw] : [],
      },
      padding: [8, 12, 0, 0],
    };
    const u = new uPlot(options, [kind.xs, ...kind.columns], plot);
    chart.u = u;
    u.root.tabIndex = 0;
    u.root.setAttribute('role', 'application');
    u.root.setAttribute('aria-label', figure.querySelector('h3').textContent + ': arrow keys move along it');
    u.root.addEventListener('keydown', event => keys(chart, event));
    u.over.addEventListener('dblclick', () => zoom(over ? null : chart));
    plot.append(chart.tip);
    if (kind.key && !figure.querySelector('.key-drawn')) {
      const key = figure.querySelector('.lines')?.cloneNode(true);
      if (key) { key.classList.add('key-drawn'); plot.after(key); }
    }
    figure.dataset.drawn = 'true';
    requestAnimationFrame(() => performance.mark('drawn'));
  };

  // Without bounds, all of it; charts over time of one run zoom together.
  const zoom = (only, min, max) => {
    for (const chart of charts) {
      if (!chart.u || (only ? chart !== only : chart.kind.x !== time)) continue;
      const xs = chart.kind.xs;
      chart.isZoomed = min !== undefined;
      chart.u.setScale('x', { min: min ?? xs[0], max: max ?? xs[xs.length - 1] });
      chart.u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    }
  };

  // ---- The page: what is near the screen is drawn; switches hide a result everywhere. ----

  const near = new IntersectionObserver(entries => {
    for (const entry of entries) {
      const chart = charts.find(chart => chart.figure === entry.target);
      if (entry.isIntersecting && chart && !chart.u) draw(chart);
    }
  }, { rootMargin: '800px' });
  const wide = new ResizeObserver(entries => {
    for (const { target } of entries) {
      const chart = charts.find(chart => chart.plot === target);
      if (!chart?.u) continue;
      // A tall one takes the room that its neighbours leave it.
      const least = chart.kind.height, height = chart.kind.tall ? Math.max(least, Math.min(target.clientHeight, 2 * least)) : least;
      const width = Math.max(200, target.clientWidth);
      if (chart.u.width !== width || chart.u.height !== height) chart.u.setSize({ width, height });
    }
  });

  const adopt = figure => {
    const plot = figure.querySelector('.plot'), data = JSON.parse(figure.querySelector('script').textContent);
    charts.push({ figure, plot, data });
    near.observe(figure);
    wide.observe(plot);
  };
  const redraw = () => { hatches = {}; charts.filter(chart => chart.u).forEach(draw); };

  const show = () => {
    for (const chip of document.querySelectorAll('[data-toggle]')) chip.setAttribute('aria-pressed', String(!hidden.has(+chip.dataset.toggle)));
    for (const row of document.querySelectorAll('[data-result]')) row.classList.toggle('off', hidden.has(+row.dataset.result));
    for (const mark of document.querySelectorAll('.plot > svg .area, .plot > svg .line')) {
      const slot = /(?:^| )r(\d+)(?: |$)/.exec(mark.getAttribute('class'));
      mark.classList.toggle('off', Boolean(slot) && hidden.has(+slot[1]));
    }
    const all = document.querySelector('.tool');
    if (all) all.hidden = !hidden.size;
    redraw();
  };
  const chips = () => {
    const bar = document.querySelector('.results-bar');
    if (!bar || bar.querySelector('.tool')) return;
    const all = element('button', 'tool', 'Show all');
    all.type = 'button';
    all.hidden = true;
    bar.append(all);
  };
  document.addEventListener('click', event => {
    const chip = event.target.closest('[data-toggle]'), slot = chip && +chip.dataset.toggle;
    if (chip) hidden.delete(slot) || hidden.add(slot);
    else if (event.target.closest('.tool')) hidden.clear();
    else return;
    show();
  });

  // ---- A run that goes on: the page is sent again, and what is drawn grows instead of being made anew. ----

  const follow = (main, bar) => {
    const events = new EventSource('events'), stop = bar.querySelector('button');
    const end = text => { events.close(); bar.classList.remove('on'); bar.querySelector('.says').textContent = text; stop.remove(); };
    events.addEventListener('report', event => {
      const made = new DOMParser().parseFromString(JSON.parse(event.data), 'text/html').querySelector('main');
      const open = [...main.querySelectorAll('details[open]')].map(details => details.id), focused = document.activeElement;
      for (const figure of made.querySelectorAll('figure[data-chart]')) {
        const known = charts.find(chart => chart.figure.id === figure.id);
        if (!known) continue;
        for (const part of ['figcaption', 'script']) known.figure.querySelector(part).replaceWith(figure.querySelector(part));
        known.plot.querySelector('svg')?.replaceWith(figure.querySelector('.plot svg'));
        known.plot.setAttribute('aria-label', figure.querySelector('.plot').getAttribute('aria-label'));
        known.data = JSON.parse(known.figure.querySelector('script').textContent);
        figure.replaceWith(known.figure);
      }
      charts = charts.filter(chart => made.contains(chart.figure));
      main.replaceChildren(...made.childNodes);
      for (const id of open) { const details = document.getElementById(id); if (details) details.open = true; }
      for (const figure of main.querySelectorAll('figure[data-chart]')) if (!charts.some(chart => chart.figure === figure)) adopt(figure);
      chips();
      charts.filter(chart => chart.u).forEach(grow);
      if (hidden.size) show();
      if (focused?.dataset?.toggle) document.querySelector(`[data-toggle="${focused.dataset.toggle}"]`)?.focus();
    });
    events.addEventListener('end', () => end('The run has ended. This page is its report.'));
    events.addEventListener('error', () => { if (events.readyState === EventSource.CLOSED) end('Gorgon has gone; these are its last figures.'); });
    stop.addEventListener('click', () => { stop.disabled = true; stop.textContent = 'Stopping …'; fetch('stop', { method: 'POST' }); });
  };
  const grow = chart => {
    const kind = kinds[chart.figure.dataset.chart](chart.data);
    const same = kind.series.length === chart.kind.series.length && kind.series.every((series, i) => series.label === chart.kind.series[i].label);
    if (!same) return draw(chart);
    kind.series.forEach((series, i) => Object.assign(chart.kind.series[i], { value: series.value }));
    Object.assign(chart.kind, { ...kind, series: chart.kind.series });
    if (kind.draw) chart.u.hooks.draw = [kind.draw];
    // What was zoomed into stays.
    chart.u.setData([kind.xs, ...kind.columns], !chart.isZoomed);
    if (chart.isZoomed) chart.u.redraw();
  };
  document.querySelectorAll('figure[data-chart]').forEach(adopt);
  chips();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  const bar = document.querySelector('.live');
  if (bar) follow(document.querySelector('main'), bar);
})();
