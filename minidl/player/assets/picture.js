// Pictures an operation adds: windows over an image, weights of attention, bars of gates, the way downhill.

function pictureOf(player, now, state, chosen) {
  const node = player.data.nodes[now.out[0]];
  const frame = (title, ...inside) => make('figure', { class: 'picture' }, make('figcaption', {}, title), ...inside);
  const valueOf = (k) => state.values.get(now.in[k]) || player.data.nodes[now.in[k]].v;
  if (['Conv2d', 'MaxPool2d', 'AvgPool2d'].includes(node.op) && node.v.d && valueOf(0).d) {
    return windowed(player, node, now, valueOf, chosen);
  }
  if (now.weights) {
    return frame(player.say('weights'), make('div', { class: 'flow' }, now.weights.map((head) => heat(head, indexOf(chosen, node.v.s).at(-2)))));
  }
  if (node.op === 'Softmax' && node.v.d && node.v.s.length >= 2 && node.v.s.at(-1) <= 64) {
    const size = node.v.s.at(-1) * node.v.s.at(-2);
    return frame(player.say('rows_of_one'), heat({ s: node.v.s.slice(-2), d: node.v.d.slice(0, size) }, indexOf(chosen, node.v.s).at(-2)));
  }
  if (GATES.includes(node.op) && barred(node)) return frame(player.say('bars'), make('div', { class: 'flow' }, gates(player, now)));
  if (['Softmax', 'ReLU'].includes(node.op) && barred(node) && node.v.d.length > 1) {
    return frame(player.say('bars'), bars(node.v.d.map(asNumber), node.op === 'ReLU' ? null : 1));
  }
  return null;
}

const GATES = ['Sigmoid', 'Tanh'];
const GATES_SHOWN = 6;

function barred(node) {
  return node.v.d && node.v.d.length <= 32;
}

// The gates of the same time step that are there by now, the latest last: how far each is open.
function gates(player, now) {
  const { nodes, steps } = player.data;
  const together = steps.slice(0, player.step + 1).filter((step) => step.k === 'forward' && step.groups[3] === now.groups[3]
    && GATES.includes(nodes[step.out[0]].op) && barred(nodes[step.out[0]]));
  return together.slice(-GATES_SHOWN).map((step) => {
    const node = nodes[step.out[0]];
    return make('figure', {}, make('figcaption', {}, wrapped(nameMath(node.name, step.out[0], []))), bars(node.v.d.map(asNumber), 1));
  });
}

// ── windows ────────────────────────────────────────────────────────────────────────────────────

function windowed(player, node, now, valueOf, chosen) {
  const image = valueOf(0);
  const [, channels, H, W] = image.s;
  const [n, o, i, j] = indexOf(chosen, node.v.s);
  const a = now.attrs;
  const [kernel, stride, padding, dilation] = a.slide
    ? [a.kernel, a.slide.stride, a.slide.padding, a.slide.dilation]
    : a.geometry ? a.geometry : [...a.windows, [1, 1]];
  const top = i * stride[0] - padding[0];
  const left = j * stride[1] - padding[2];
  const weights = node.op === 'Conv2d' ? valueOf(1) : null;
  const own = weights ? weights.s[1] : 1;
  const first = weights ? Math.floor(o / (weights.s[0] / a.slide.groups)) * own : o;
  const parts = [];
  for (let c = 0; c < Math.min(own, 3); c++) {
    const plane = (y, x) => (y < 0 || x < 0 || y >= H || x >= W ? null : asNumber(image.d[((n * channels + first + c) * H + y) * W + x]));
    const border = { top: padding[0], bottom: padding[1], left: padding[2], right: padding[3] };
    const inside = (y, x) => (y - top) % dilation[0] === 0 && (x - left) % dilation[1] === 0
      && y >= top && x >= left && y < top + kernel[0] * dilation[0] && x < left + kernel[1] * dilation[1];
    const row = [grid(H, W, plane, inside, border)];
    if (weights) {
      const w = (u, v) => asNumber(weights.d[((o * own + c) * kernel[0] + u) * kernel[1] + v]);
      const product = (u, v) => {
        const pixel = plane(top + u * dilation[0], left + v * dilation[1]);
        return pixel === null ? 0 : pixel * w(u, v);
      };
      row.push(sign('⊙'), grid(kernel[0], kernel[1], w, null), sign('='), grid(kernel[0], kernel[1], product, null));
    } else {
      row.push(sign('→'), grid(kernel[0], kernel[1], (u, v) => plane(top + u * dilation[0], left + v * dilation[1]), null));
    }
    parts.push(make('div', { class: 'flow' }, row));
  }
  if (own > 3) parts.push(make('p', { class: 'hint' }, `… ${own}`));
  const key = { Conv2d: 'products', MaxPool2d: 'window_max', AvgPool2d: 'window_mean' }[node.op];
  const title = `${player.say('window')} [${i},${j}] · ${player.say(key)}`;
  return make('figure', { class: 'picture' }, make('figcaption', {}, title), parts);
}

function sign(text) {
  return make('span', { class: 'arrow', 'aria-hidden': 'true' }, text);
}

// A field of numbers with those under the window framed; the border is the padding.
function grid(rows, columns, valueAt, inside, border = { top: 0, bottom: 0, left: 0, right: 0 }, numbered = false) {
  const cell = rows + border.top + border.bottom > 10 || columns > 10 ? 14 : 34;
  let largest = 1e-12;
  const range = (from, to) => Array.from({ length: to - from }, (_, k) => k + from);
  const ys = range(-border.top, rows + border.bottom);
  const xs = range(-border.left, columns + border.right);
  for (const y of ys) for (const x of xs) largest = Math.max(largest, Math.abs(valueAt(y, x) || 0));
  const room = numbered ? 18 : 1;
  const picture = svg('svg', { width: xs.length * cell + room + 1, height: ys.length * cell + room + 1, class: 'grid', role: 'img',
    'aria-label': `${rows}×${columns}` });
  if (numbered && cell > 20) {
    ys.forEach((y, r) => picture.append(svg('text', { x: 8, y: room + r * cell + cell / 2 + 4, class: 'tick' }, String(y))));
    xs.forEach((x, c) => picture.append(svg('text', { x: room + c * cell + cell / 2, y: 12, class: 'tick' }, String(x))));
  }
  const framed = [];
  ys.forEach((y, r) => xs.forEach((x, c) => {
    const value = valueAt(y, x);
    const at = { x: c * cell + room, y: r * cell + room, width: cell, height: cell };
    const tone = value === null ? 'pad' : value > 0 ? 'plus' : value < 0 ? 'minus' : '';
    picture.append(svg('rect', { ...at, class: `cell ${tone}`, style: `--s:${((100 * Math.abs(value || 0)) / largest).toFixed(0)}%` },
      svg('title', {}, `[${y},${x}] ${value === null ? 0 : show(value)}`)));
    if (cell > 20) picture.append(svg('text', { x: at.x + cell / 2, y: at.y + cell / 2 + 4 }, value === null ? '0' : show(value, 2)));
    if (inside && inside(y, x)) framed.push(svg('rect', { ...at, class: 'framed' }));
  }));
  picture.append(...framed);
  return picture;
}

// ── matrices and bars ──────────────────────────────────────────────────────────────────────────

function heat(matrix, row = -1) {
  const [rows, columns] = matrix.s;
  return grid(rows, columns, (y, x) => asNumber(matrix.d[y * columns + x]), (y) => y === row, undefined, true);
}

function bars(values, top) {
  const most = top || Math.max(...values.map(Math.abs), 1e-12);
  const low = values.some((v) => v < 0);
  const height = low ? 120 : 80;
  const zero = low ? 56 : 66;
  const width = 40;
  const unit = low ? 46 : 56;
  const picture = svg('svg', { width: values.length * width + 34, height, class: 'bars', role: 'img', 'aria-label': values.map((v) => show(v)).join(', ') });
  const line = (v, text) => picture.append(svg('line', { x1: 28, x2: values.length * width + 32, y1: zero - v * unit, y2: zero - v * unit, class: v ? 'light' : 'axis' }),
    svg('text', { x: 24, y: zero - v * unit + 4, class: 'tick' }, text));
  line(0, '0');
  line(1, show(most, 2));
  if (low) line(-1, show(-most, 2));
  values.forEach((v, k) => {
    const h = (Math.abs(v) / most) * unit;
    picture.append(svg('rect', { x: 32 + k * width, y: v < 0 ? zero : zero - h, width: width - 8, height: Math.max(h, 1), class: v < 0 ? 'bar minus' : 'bar plus' }),
      svg('text', { x: 32 + k * width + (width - 8) / 2, y: height - 2 }, show(v, 2)));
  });
  return picture;
}

// ── downhill ───────────────────────────────────────────────────────────────────────────────────

function downhill(player, state) {
  const say = player.say;
  const parts = [];
  const { losses, landscapes, steps } = player.data;
  if (losses.length > 1) parts.push(make('figure', { class: 'picture' }, make('figcaption', {}, say('curve')), curve(losses, player.step)));
  for (const ground of landscapes) {
    const path = [];
    const at = ground.nodes.map((id) => {
      const first = steps.find((step) => step.k === 'update' && step.out[0] === id);
      return first ? asNumber(first.before.d[0]) : asNumber(player.data.nodes[id].v.d[0]);
    });
    path.push([...at]);
    steps.forEach((step, k) => {
      const which = step.k === 'update' && k <= player.step ? ground.nodes.indexOf(step.out[0]) : -1;
      if (which < 0) return;
      at[which] = asNumber(step.after.d[0]);
      const more = steps.slice(k + 1).find((s) => s.k === 'update');
      if (ground.nodes.length === 1 || which === ground.nodes.length - 1 || !more) path.push([...at]);
    });
    parts.push(make('figure', { class: 'picture' }, make('figcaption', {}, say('landscape')),
      ground.nodes.length === 1 ? valley(ground, path) : contours(ground, path, ground.nodes.map((id) => player.nameOf(id)))));
  }
  return parts.length ? make('div', { class: 'flow' }, parts) : null;
}

const PLOT = { width: 340, height: 220, left: 46, right: 10, top: 10, bottom: 26 };

function scales(xs, ys) {
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  return {
    x: (v) => PLOT.left + ((v - x0) / (x1 - x0 || 1)) * (PLOT.width - PLOT.left - PLOT.right),
    y: (v) => PLOT.height - PLOT.bottom - ((v - y0) / (y1 - y0 || 1)) * (PLOT.height - PLOT.top - PLOT.bottom),
    range: [x0, x1, y0, y1],
  };
}

function axes(range, label) {
  const [x0, x1, y0, y1] = range;
  const bottom = PLOT.height - PLOT.bottom;
  return [
    svg('path', { d: `M${PLOT.left},${PLOT.top}V${bottom}H${PLOT.width - PLOT.right}`, class: 'axis' }),
    svg('text', { x: PLOT.left, y: PLOT.height - 8 }, show(x0, 3)),
    svg('text', { x: PLOT.width - PLOT.right, y: PLOT.height - 8, class: 'end' }, show(x1, 3)),
    svg('text', { x: PLOT.left - 5, y: bottom, class: 'end' }, show(y0, 3)),
    svg('text', { x: PLOT.left - 5, y: PLOT.top + 10, class: 'end' }, show(y1, 3)),
    label ? svg('text', { x: (PLOT.left + PLOT.width) / 2, y: PLOT.height - 8, class: 'middle' }, label) : null,
  ].filter(Boolean);
}

function plot(label, ...inside) {
  return svg('svg', { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, width: PLOT.width, class: 'plot', role: 'img', 'aria-label': label }, inside);
}

function curve(losses, step) {
  const ys = losses.map(([, v]) => asNumber(v));
  const to = scales(losses.map((_, k) => k), [0, ...ys]);
  const reached = losses.filter(([k]) => k <= step).length - 1;
  return plot(ys.map((v) => show(v)).join(', '), axes(to.range),
    svg('polyline', { points: ys.map((v, k) => `${to.x(k)},${to.y(v)}`).join(' '), class: 'line todo' }),
    svg('polyline', { points: ys.slice(0, reached + 1).map((v, k) => `${to.x(k)},${to.y(v)}`).join(' '), class: 'line' }),
    reached >= 0 ? svg('circle', { cx: to.x(reached), cy: to.y(ys[reached]), r: 5, class: 'here' }, svg('title', {}, show(ys[reached]))) : null);
}

function valley(ground, path) {
  const [xs] = ground.grids;
  const zs = ground.z.map(asNumber);
  const to = scales(xs, zs);
  const height = (x) => {
    const k = Math.max(0, Math.min(xs.length - 2, Math.floor(((x - xs[0]) / (xs.at(-1) - xs[0])) * (xs.length - 1))));
    return zs[k] + ((zs[k + 1] - zs[k]) * (x - xs[k])) / (xs[k + 1] - xs[k]);
  };
  const inside = path.filter(([x]) => x >= xs[0] && x <= xs.at(-1));
  return plot('', axes(to.range), svg('polyline', { points: xs.map((x, k) => `${to.x(x)},${to.y(zs[k])}`).join(' '), class: 'line' }),
    inside.map(([x], k) => svg('circle', { cx: to.x(x), cy: to.y(height(x)), r: k === inside.length - 1 ? 6 : 3, class: k === inside.length - 1 ? 'here' : 'was' })));
}

// Equal steps of the logarithm of the height, as tones; the path on top.
function contours(ground, path, names) {
  const [xs, ys] = ground.grids;
  const zs = ground.z.map(asNumber);
  const low = Math.min(...zs);
  const tone = zs.map((z) => Math.log1p(z - low));
  const most = Math.max(...tone) || 1;
  const to = scales(xs, ys);
  const w = Math.abs(to.x(xs[1]) - to.x(xs[0]));
  const h = Math.abs(to.y(ys[1]) - to.y(ys[0]));
  const cells = [];
  ys.forEach((y, r) => xs.forEach((x, c) => {
    const level = Math.round((8 * tone[r * xs.length + c]) / most) / 8;
    cells.push(svg('rect', { x: to.x(x) - w / 2, y: to.y(y) - h / 2, width: w + 0.4, height: h + 0.4, class: 'height', style: `--s:${(level * 100).toFixed(0)}%` }));
  }));
  const inside = path.filter(([x, y]) => x >= xs[0] && x <= xs.at(-1) && y >= ys[0] && y <= ys.at(-1));
  return plot(names.join(', '), cells, axes(to.range, names.join(' → , ↑ ')),
    svg('polyline', { points: inside.map(([x, y]) => `${to.x(x)},${to.y(y)}`).join(' '), class: 'path' }),
    inside.map(([x, y], k) => svg('circle', { cx: to.x(x), cy: to.y(y), r: k === inside.length - 1 ? 6 : 3, class: k === inside.length - 1 ? 'here' : 'was' })));
}
