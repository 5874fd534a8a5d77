// Tables of values: small ones with numbers, large ones as coloured fields, summaries of what was not kept whole.

const WIDE = 12;
const PLANES = 6;
const MANY_CELLS = 144;

// options: caption, note, array (what formulas call it), choose(place), chosen, lit (places), hidden, can (places), say
function valueTable(value, options) {
  const box = make('figure', { class: `values ${options.array ? refClass(options.array) : ''} ${options.class || ''}` });
  box.append(make('figcaption', {}, options.caption, options.note ? make('small', {}, ` ${options.note}`) : null));
  if (!value.d) {
    box.append(...summary(value, options.say));
    return box;
  }
  const shape = value.s.length ? value.s : [1];
  const rows = shape.length > 1 ? shape[shape.length - 2] : 1;
  const columns = shape[shape.length - 1];
  const lead = shape.slice(0, -2);
  const planes = sizeOf(lead);
  const largest = Math.max(...value.d.map((v) => Math.abs(asNumber(v))).filter(Number.isFinite), 1e-12);
  const wanted = options.chosen ?? [...(options.lit || [])][0] ?? 0;
  const shown = shownPlanes(planes, Math.floor(wanted / (rows * columns)));
  const row = make('div', { class: 'planes' });
  for (const plane of shown) {
    const table = make('table', { class: rows > WIDE || columns > WIDE || value.d.length > MANY_CELLS ? 'field' : 'cells' });
    if (planes > 1) table.append(make('caption', {}, `[${indexOf(plane, lead).join(',')}]`));
    const body = make('tbody', {});
    for (let i = 0; i < rows; i++) {
      const line = make('tr', {});
      for (let j = 0; j < columns; j++) {
        line.append(cell(value, plane * rows * columns + i * columns + j, largest, options));
      }
      body.append(line);
    }
    table.append(body);
    row.append(table);
  }
  if (shown.length < planes) row.append(make('span', { class: 'more' }, `… ${planes}`));
  if (rows * columns === 0) row.append(make('span', { class: 'more' }, '∅'));
  box.append(row);
  return box;
}

function shownPlanes(planes, wanted) {
  const first = Math.max(0, Math.min(wanted - 2, planes - PLANES));
  return [...Array(Math.min(planes, PLANES)).keys()].map((k) => k + first);
}

function cell(value, place, largest, options) {
  const number = asNumber(value.d[place]);
  const text = options.hidden ? '?' : show(value.d[place]);
  const strength = Number.isFinite(number) ? Math.min(1, Math.abs(number) / largest) : 0;
  const side = options.hidden || number === 0 ? '' : number > 0 ? 'plus' : 'minus';
  const index = `[${indexOf(place, value.s).join(',')}]`;
  const can = options.choose && (!options.can || options.can.has(place));
  const chosen = options.chosen === place;
  const classes = [side, can ? 'can' : '', chosen ? 'chosen' : '', options.lit && options.lit.has(place) ? 'lit' : ''];
  const attributes = {
    class: classes.filter(Boolean).join(' ') || null,
    style: options.hidden ? null : `--s:${(strength * 100).toFixed(0)}%`,
    'data-place': place,
    title: `${index} ${options.hidden ? '?' : show(value.d[place], 7)}`,
  };
  if (!can) return make('td', attributes, make('span', {}, text));
  const button = make('button', { type: 'button', 'aria-pressed': chosen ? 'true' : 'false',
    'aria-label': `${index} ${text}`, onclick: () => options.choose(place) }, text);
  return make('td', attributes, button);
}

function summary(value, say) {
  const facts = make('dl', { class: 'stats' });
  for (const key of ['min', 'max', 'mean', 'std', 'norm']) {
    facts.append(make('div', {}, make('dt', {}, say(key)), make('dd', {}, show(value.stats[key]))));
  }
  const corner = { s: [value.corner.length, value.corner[0].length], d: value.corner.flat() };
  return [
    make('p', { class: 'hint' }, `${say('large')} ${say('shape')} ${shapeText(value.s)}`),
    facts,
    histogram(value.hist, say),
    valueTable(corner, { caption: `${say('corner')} ${shapeText(corner.s)}`, say }),
  ];
}

function histogram(hist, say) {
  const most = Math.max(...hist.c, 1);
  const bars = hist.c.map((count, k) => svg('rect', {
    x: 2 + k * 10, y: 42 - (40 * count) / most, width: 8, height: (40 * count) / most, class: 'bar',
  }, svg('title', {}, `${show(hist.e[k])} … ${show(hist.e[k + 1])}: ${count}`)));
  return svg('svg', { viewBox: '0 0 164 60', class: 'histogram', role: 'img', 'aria-label': say('histogram') }, bars,
    svg('text', { x: 2, y: 56 }, show(hist.e[0])),
    svg('text', { x: 162, y: 56, 'text-anchor': 'end' }, show(hist.e[hist.e.length - 1])));
}
