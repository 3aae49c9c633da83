// Replaces the page's SVG charts with uPlot charts of the same data, which can be hovered, zoomed and filtered. The
// page is complete without it, but not interactive.
'use strict';
root.classList.add('js');
// eslint-disable-next-line prefer-const -- live.js assigns it
let charts = [];

// ---- One chart: uPlot, a tip at the pointer or for the arrow keys, and zoom shared by all charts over time. ----

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

// While a run goes on: how far the charts have moved from the previous report to the current one, from 0 to 1.
// eslint-disable-next-line prefer-const -- live.js assigns it
let done = 1;
const eased = ({ from }, to) => from && done < 1 ? to.map((y, i) => from.y[i] + (y - from.y[i]) * done) : to;

// A chart takes the space that its neighbours leave.
const size = ({ plot }) => ({ width: Math.max(200, plot.clientWidth), height: plot.clientHeight });

const fit = chart => {
  const { width, height } = size(chart);
  if (chart.u.width === width && chart.u.height === height) return;
  chart.u.setSize({ width, height });
  // The cursor would point at the wrong place after a resize.
  chart.u.setCursor({ left: -10, top: -10 });
};

const draw = chart => {
  const { figure, plot } = chart, kind = kinds[figure.dataset.chart](chart.data);
  chart.kind = kind;
  chart.u?.destroy();
  chart.tip?.remove();
  chart.tip = element('div', 'tip');
  chart.tip.hidden = true;
  const over = kind.x === time;
  const grow = (_, from, to) => eased(chart, [kind.range?.[0] ?? from, kind.range?.[1] ?? (to > 0 ? to * 1.06 : 1)]);
  const log = (_, from, to) => eased(chart, kind.range ?? [Math.max(1, from) / 1.15, Math.max(1, to) * 1.15]);
  const options = {
    ...size(chart), ms: 1, bands: kind.bands, legend: { show: false },
    scales: {
      x: { time: false, ...(kind.xlog ? { distr: 3, range: (_, from, to) => [from / 1.15, to * 1.15] }
        : { range: (_, from, to) => chart.isZoomed ? [from, to] : [kind.xrange?.[0] ?? from, kind.xrange?.[1] ?? (to > from ? to : from + 1)] }) },
      y: kind.log ? { distr: 3, range: log } : { range: grow },
    },
    axes: [axis({ size: 30, gap: 6, ...kind.x, grid: { show: Boolean(kind.x?.grid), stroke: css('grid'), width: 1 } }), axis({ size: 58, gap: 6, space: space(34), ...kind.y })],
    series: [{}, ...kind.series],
    cursor: { sync: over ? { key: 'time', setSeries: false, scales: ['x', null] } : undefined, points: { show: false }, y: figure.dataset.chart === 'heat', drag: { x: true, y: false } },
    hooks: {
      setCursor: [u => tip(chart, u)],
      setSelect: [u => { if (u.select.width > 4) zoom(over ? null : chart, u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')); }],
      draw: kind.draw ? [kind.draw] : [],
    },
    padding: [8, kind.xlog || kind.x === nines ? 32 : 20, 0, 0],
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

// Without bounds this shows everything. Charts over time zoom together.
const zoom = (only, min, max) => {
  for (const chart of charts) {
    if (!chart.u || (only ? chart !== only : chart.kind.x !== time)) continue;
    const xs = chart.kind.xs;
    chart.isZoomed = min !== undefined;
    chart.from = undefined;
    chart.u.setScale('x', { min: min ?? xs[0], max: max ?? xs[xs.length - 1] });
    chart.u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }
};

// ---- The page: charts near the screen are drawn; switches hide a result everywhere. ----

const near = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const chart = charts.find(({ figure }) => figure === entry.target);
    if (!chart) continue;
    chart.isNear = entry.isIntersecting;
    if (chart.isNear && !chart.u) draw(chart);
  }
  // The keys of neighbours have taken space since.
  charts.filter(chart => chart.u).forEach(fit);
}, { rootMargin: '800px' });
const wide = new ResizeObserver(entries => {
  for (const { target } of entries) {
    const chart = charts.find(({ plot }) => plot === target);
    if (chart?.u) fit(chart);
  }
});

// ---- The data of a chart: beneath it, once its link was followed, and from there to the clipboard or into a table. ----

// A spreadsheet would take some texts for formulas.
const cell = value => {
  const text = value == null ? '' : typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
// Every list in the data, with its name.
const lists = (data, unit, of) => Object.entries(data).flatMap(([key, value]) => {
  const name = [of, of && key === 'y' ? unit : key].filter(Boolean).join(' ');
  if (!value || typeof value !== 'object' || key === 'between' || key === 'drain') return [];
  if (!Array.isArray(value)) return lists(value, unit, name);
  if (value.every(part => !part || typeof part !== 'object')) return [[name, value]];
  return value.flatMap((part, i) => lists(part, unit, part.result ?? part.name ?? String(i)));
});
const csv = ({ figure, data }) => {
  const columns = figure.dataset.chart === 'heat' ? heatRows(data) : lists(data, data.unit);
  const rows = Math.max(...columns.map(([, values]) => values.length));
  const line = values => values.map(cell).join(',');
  return [line(columns.map(([name]) => name)), ...Array.from({ length: rows }, (_, i) => line(columns.map(([, values]) => values[i])))].join('\n') + '\n';
};
const copy = async (chart, button) => {
  const text = chart.figure.querySelector('script').textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page over plain HTTP has no clipboard.
    getSelection().selectAllChildren(chart.figure.querySelector('script'));
    document.execCommand('copy');
  }
  button.textContent = 'Copied';
};
const save = chart => {
  const link = element('a');
  link.download = chart.figure.id + '.csv';
  link.href = URL.createObjectURL(new Blob([csv(chart)], { type: 'text/csv' }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
const offer = chart => {
  const offers = element('p', 'offers');
  for (const [label, act] of [['Copy', copy], ['Save as CSV', save]]) {
    const button = element('button', 'tool', label);
    button.type = 'button';
    button.addEventListener('click', () => act(chart, button));
    offers.append(button);
  }
  chart.figure.querySelector('script').before(offers);
};

const adopt = figure => {
  const plot = figure.querySelector('.plot'), data = JSON.parse(figure.querySelector('script').textContent);
  const chart = { figure, plot, data };
  charts.push(chart);
  offer(chart);
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
  const all = document.querySelector('.results-bar .tool');
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
  else if (event.target.closest('.results-bar .tool')) hidden.clear();
  else return;
  show();
});

// ---- Tables: sorted by a column, and filtered by name. ----

const units = { ns: 1, µs: 1e3, ms: 1e6, s: 1e9, m: 6e10, h: 3.6e12, kB: 1e3, MB: 1e6, GB: 1e9 };
const weight = text => {
  let sum = NaN;
  for (const [, number, unit] of text.matchAll(/(-?[\d.,]+)\s*([a-zµ]+)?/gi)) sum = (sum || 0) + number.replaceAll(',', '') * (units[unit] ?? 1);
  return sum;
};
// A result and what stands beneath it stay together.
const groups = table => table.tBodies.length > 1 ? [...table.tBodies].filter(body => !body.querySelector('.all')) : [...(table.tBodies[0]?.rows ?? [])];
const sorted = new Map(), filters = new Map();
const place = box => `${box.closest('[id]')?.id} ${box.getAttribute('aria-label')}`;
const sort = (table, column, isDown) => {
  const of = group => (group.rows?.[0] ?? group).cells[column]?.textContent ?? '';
  const parts = groups(table), isText = column === 0 && !parts.some(group => /^[\d.,]/.test(of(group)));
  const compare = (a, b) => isText ? of(a).localeCompare(of(b)) : (weight(of(a)) - weight(of(b)) || (isNaN(weight(of(a))) ? 1 : 0) - (isNaN(weight(of(b))) ? 1 : 0));
  const first = parts[0]?.parentNode;
  parts.sort((a, b) => isDown ? compare(b, a) : compare(a, b)).forEach(group => first.append(group));
  for (const [i, head] of [...table.tHead.rows[0].cells].entries()) {
    if (i === column) head.setAttribute('aria-sort', isDown ? 'descending' : 'ascending');
    else head.removeAttribute('aria-sort');
  }
};
const sift = (table, text) => {
  for (const group of groups(table)) group.classList.toggle('sifted', !(group.rows?.[0] ?? group).cells[0].textContent.toLowerCase().includes(text.toLowerCase()));
};
const FILTERED = 15;
const tables = () => {
  for (const box of document.querySelectorAll('.scroll')) {
    const table = box.querySelector('table'), key = place(box);
    if (!table?.tHead || groups(table).length < 2) continue;
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const button = element('button', 'sort', head.textContent);
      button.type = 'button';
      button.addEventListener('click', () => {
        const isDown = head.getAttribute('aria-sort') ? head.getAttribute('aria-sort') === 'ascending' : column > 0;
        sorted.set(key, [column, isDown]);
        sort(table, column, isDown);
      });
      head.replaceChildren(button);
    }
    if (sorted.has(key)) sort(table, ...sorted.get(key));
    if (groups(table).length < FILTERED) continue;
    const field = element('input', 'sift');
    Object.assign(field, { type: 'search', placeholder: 'Filter by name', value: filters.get(key) ?? '' });
    field.setAttribute('aria-label', `Filter ${box.getAttribute('aria-label')}`);
    field.addEventListener('input', () => { filters.set(key, field.value); sift(table, field.value); });
    box.before(field);
    sift(table, field.value);
  }
};

// Paper shows what is folded on the screen.
const unfolded = [];
addEventListener('beforeprint', () => {
  for (const details of document.querySelectorAll('details:not([open])')) { details.open = true; unfolded.push(details); }
});
addEventListener('afterprint', () => { for (const details of unfolded.splice(0)) details.open = false; });

document.querySelectorAll('figure[data-chart]').forEach(adopt);
chips();
tables();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
