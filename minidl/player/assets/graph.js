// The picture of the computation: what is done, what is being computed, and which gradients have arrived.

const MANY = 64;
const UNROLLED = 36; // with more nodes than that, the time step at hand is shown

class Graph {
  constructor(player) {
    this.player = player;
    this.element = make('figure', { class: 'graph', tabindex: '0' });
    this.layouts = new Map();
  }

  // Which nodes are drawn: all, or of a large graph those of the part at hand and what they use.
  part(step) {
    const { nodes, steps, levels } = this.player.data;
    const epochs = levels.includes('epoch');
    const unrolled = levels.includes('time') && nodes.length > UNROLLED;
    if (nodes.length <= MANY && !epochs && !unrolled) return [...nodes.keys()];
    const now = steps[Math.max(step, 1)];
    for (const level of epochs ? [4, 3, 2, 1] : [3, 2, 1]) {
      const own = steps.filter((s) => s.groups[level] === now.groups[level] && s.out);
      const ids = new Set(own.flatMap((s) => [...s.out, ...(s.in || [])]));
      if (ids.size && ids.size <= MANY) return [...ids].sort((a, b) => a - b);
    }
    const near = new Set();
    for (let k = step; k >= 0 && near.size < MANY / 2; k--) for (const id of [...(steps[k].out || []), ...(steps[k].in || [])]) near.add(id);
    for (let k = step; k < steps.length && near.size < MANY; k++) for (const id of [...(steps[k].out || []), ...(steps[k].in || [])]) near.add(id);
    return [...near].sort((a, b) => a - b);
  }

  draw(step, state, hidden) {
    const { nodes, steps } = this.player.data;
    const say = this.player.say;
    const ids = this.part(step);
    const key = ids.join();
    if (!this.layouts.has(key)) this.layouts.set(key, layout(nodes, ids));
    const { points, edges, width, height } = this.layouts.get(key);
    const now = steps[step];
    const current = new Set(now.out || []);
    const margin = 10;
    const picture = svg('svg', {
      width: width + 2 * margin, height: height + 2 * margin,
      viewBox: `${-margin} ${-margin} ${width + 2 * margin} ${height + 2 * margin}`, role: 'group', 'aria-label': say('graph'),
    });
    const arrow = `arrow-${this.player.number}`;
    picture.append(svg('defs', {}, ['', '-now', '-back'].map((kind) => svg('marker', {
      id: arrow + kind, viewBox: '0 0 8 8', refX: 1, refY: 4, markerWidth: kind ? 11 : 8, markerHeight: kind ? 11 : 8, markerUnits: 'userSpaceOnUse',
      orient: 'auto-start-reverse', class: `head${kind}`,
    }, svg('path', { d: 'M0,0 L8,4 L0,8 z' })))));
    for (const edge of edges) {
      const live = current.has(edge.to) && (now.k === 'forward' || now.k === 'backward');
      const sent = now.k === 'backward' && live && (now.sent || []).some((part) => part && part.to === edge.from);
      const kind = sent ? '-back' : live && now.k === 'forward' ? '-now' : '';
      const done = state.done.has(edge.to);
      picture.append(svg('path', {
        d: routed(edge, sent), class: `edge${kind} ${done ? 'done' : 'todo'}`, [sent ? 'marker-start' : 'marker-end']: `url(#${arrow + kind})`,
        'data-from': edge.from, 'data-to': edge.to,
      }));
    }
    for (const id of ids) picture.append(this.box(id, points.get(id), state, current.has(id), hidden));
    const note = ids.length < nodes.length && !this.player.data.levels.includes('epoch') ? make('p', { class: 'hint' }, say('shown_part')) : null;
    const scroll = make('div', { class: 'scroll' }, picture);
    this.element.replaceChildren(...[legend(say), note, scroll].filter(Boolean));
    const scale = Math.max(0.85, Math.min(1, (scroll.clientWidth - 16) / (width + 2 * margin) || 1));
    picture.setAttribute('width', (width + 2 * margin) * scale);
    picture.setAttribute('height', (height + 2 * margin) * scale);
    this.follow(scroll, points, [...current].filter((id) => points.has(id)), scale);
  }

  box(id, point, state, current, hidden) {
    const { nodes } = this.player.data;
    const node = nodes[id];
    const done = state.done.has(id);
    const gradient = state.grads.get(id);
    const kind = node.leaf ? (isGiven(node) ? 'leaf' : 'constant') : 'op';
    const classes = ['node', kind, done ? 'done' : 'todo', current ? 'current' : '', gradient ? 'graded' : ''];
    const single = node.leaf && node.v.d && node.v.d.length === 1;
    const title = node.leaf ? lettered(node.name) || (single ? show(node.v.d[0]) : `v${id}`) : node.name ? `${lettered(node.name)} = ${node.sym}` : node.sym;
    const value = !done ? '' : hidden && current ? '?' : brief(state.values.get(id) || node.v);
    const backward = this.player.data.steps[this.player.step].k === 'backward';
    const slope = gradient ? `∂ ${hidden && backward && this.player.hides(id) ? '?' : brief(gradient)}` : '';
    const words = [this.player.nameOf(id), value && `= ${value}`, slope].filter(Boolean).join(' ');
    const group = svg('g', {
      class: classes.filter(Boolean).join(' '), transform: `translate(${point.x},${(point.y - BOX.height / 2).toFixed(1)})`,
      'data-node': id, onclick: () => this.player.goToNode(id),
    });
    const icon = current ? '▶' : done ? '●' : '○';
    group.append(
      svg('title', {}, words),
      svg('rect', { width: BOX.width, height: BOX.height, rx: node.leaf ? 23 : 8 }),
      svg('text', { x: BOX.width / 2, y: 17, class: 'what' }, title === value ? '' : clipped(title, 13)),
      svg('text', { x: 7, y: -3, class: 'icon' }, node.leaf && !isGiven(node) ? '' : icon),
      svg('text', { x: BOX.width / 2, y: slope ? 30 : title === value ? 28 : 34, class: 'value' }, clipped(value, 16)),
      svg('text', { x: BOX.width / 2, y: 42, class: 'slope' }, clipped(slope, 17)),
    );
    return group;
  }

  // Keep what is being computed in sight.
  follow(scroll, points, current, scale) {
    if (!current.length) return;
    const point = points.get(current[0]);
    requestAnimationFrame(() => {
      scroll.scrollLeft = (point.x + BOX.width / 2) * scale - scroll.clientWidth / 2;
      scroll.scrollTop = point.y * scale - scroll.clientHeight / 2;
    });
  }
}

function clipped(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function brief(value) {
  if (!value.d) return shapeText(value.s);
  if (value.d.length === 1) return show(value.d[0]);
  if (value.d.length <= 2) return `(${value.d.map((v) => show(v, 2)).join(', ')})`;
  return `[${shapeText(value.s)}]`;
}

function legend(say) {
  const entries = [['●', 'done'], ['▶', 'current'], ['○', 'todo'], ['∂', 'gradient']];
  return make('figcaption', { class: 'legend' }, make('strong', {}, say('graph')),
    entries.map(([icon, key]) => make('span', { class: `key-${key}` }, make('b', { 'aria-hidden': 'true' }, icon), ` ${say(`legend_${key}`)}`)));
}
