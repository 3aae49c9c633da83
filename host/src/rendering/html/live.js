// Follows a run that goes on. Each new report updates the page, and its charts grow instead of being drawn again.
'use strict';

// The key that finds an element again in the next report.
const address = element => `#${element.closest('[id]')?.id} ${element.tagName}` + ['data-toggle', 'aria-label', 'href']
  .filter(name => element.hasAttribute(name)).map(name => `[${name}="${CSS.escape(element.getAttribute(name))}"]`).join('');
const again = found => { try { return document.querySelector(found); } catch { return null; } };

const take = (main, sent) => {
  const made = new DOMParser().parseFromString(sent, 'text/html').querySelector('main');
  const open = [...main.querySelectorAll('details[open]')].map(details => details.id);
  const focused = main.contains(document.activeElement) && address(document.activeElement);
  const scrolled = [...main.querySelectorAll('.scroll, .results-bar')].map(box => [address(box), box.scrollLeft, box.scrollTop]);
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
  tables();
  charts.filter(chart => chart.u).forEach(grow);
  flow();
  if (hidden.size) show();
  for (const [found, left, top] of scrolled) again(found)?.scrollTo(left, top);
  if (focused) again(focused)?.focus({ preventScroll: true });
};

const grow = chart => {
  const kind = kinds[chart.figure.dataset.chart](chart.data);
  const same = kind.series.length === chart.kind.series.length && kind.series.every((series, i) => series.label === chart.kind.series[i].label);
  if (!same) return draw(chart);
  kind.series.forEach((series, i) => Object.assign(chart.kind.series[i], { value: series.value }));
  Object.assign(chart.kind, { ...kind, series: chart.kind.series });
  if (kind.draw) chart.u.hooks.draw = [kind.draw];
  const { x, y } = chart.u.scales, flows = kind.x === time && !chart.isZoomed;
  chart.from = flows ? { x: x.max, y: [y.min, y.max] } : undefined;
  // A zoomed chart keeps its range.
  chart.u.setData([kind.xs, ...kind.columns], !chart.isZoomed && !flows);
  if (chart.isZoomed) chart.u.redraw();
};

// Between two reports the time axis moves evenly towards the end of the data and uncovers it.
const still = matchMedia('(prefers-reduced-motion: reduce)');
let came = 0, lasts = 0, waits = 0;
const flow = () => {
  const now = performance.now();
  lasts = Math.min(2000, Math.max(250, now - came));
  came = now;
  cancelAnimationFrame(waits);
  step(now);
};
const step = now => {
  done = still.matches ? 1 : Math.min(1, Math.max(0, now - came) / lasts);
  for (const chart of charts.filter(({ from }) => from)) {
    const { u, from, kind } = chart, end = kind.xs[kind.xs.length - 1], max = from.x + (end - from.x) * done;
    const pixels = (max - u.scales.x.max) / max * u.over.clientWidth;
    // Charts near the screen are redrawn once the axis has moved by a pixel.
    if (done === 1 || (chart.isNear && pixels >= 1)) u.setScale('x', { min: kind.xs[0], max });
    if (done === 1) chart.from = undefined;
  }
  // A hidden tab gets no animation frames, so nothing runs there.
  if (done < 1) waits = requestAnimationFrame(step);
};

const follow = (main, bar) => {
  const events = new EventSource('events'), stop = bar.querySelector('button'), says = bar.querySelector('.says'), said = says.textContent;
  const end = text => { events.close(); bar.classList.remove('on'); says.textContent = text; stop.remove(); };
  events.addEventListener('open', () => { says.textContent = said; });
  events.addEventListener('report', event => take(main, JSON.parse(event.data)));
  events.addEventListener('end', () => end('The run has ended. This page is its report.'));
  events.addEventListener('error', () => {
    if (events.readyState === EventSource.CLOSED) end('Gorgon has gone; these are its last figures.');
    else says.textContent = 'Gorgon does not answer; these are its last figures.';
  });
  stop.addEventListener('click', () => {
    stop.disabled = true;
    stop.textContent = 'Stopping …';
    fetch('stop', { method: 'POST' }).catch(() => { stop.disabled = false; stop.textContent = 'Stop the run'; });
  });
};
follow(document.querySelector('main'), document.querySelector('.live'));
