// Where the nodes of a graph stand: in layers from left to right, leaves beside what uses them, and edges that bend
// round the boxes. An edge over several layers passes each of them in a lane of its own.

const BOX = { width: 108, height: 46, lane: 12, gapX: 40, gapY: 18 };

function layout(nodes, ids) {
  const inside = new Set(ids);
  const parents = new Map(ids.map((id) => [id, [...new Set(nodes[id].in.filter((k) => inside.has(k)))]]));
  const children = new Map(ids.map((id) => [id, []]));
  for (const id of ids) for (const parent of parents.get(id)) children.get(parent).push(id);
  const layer = layersOf(ids, parents, children);
  const points = new Map(ids.map((id) => [id, { id, layer: layer.get(id), height: BOX.height, before: [], after: [] }]));
  const edges = [];
  for (const id of ids) {
    for (const parent of parents.get(id)) {
      const path = [points.get(parent)];
      for (let k = layer.get(parent) + 1; k < layer.get(id); k++) {
        path.push({ id: null, layer: k, height: BOX.lane, before: [], after: [] });
      }
      path.push(points.get(id));
      for (let k = 1; k < path.length; k++) {
        path[k - 1].after.push(path[k]);
        path[k].before.push(path[k - 1]);
      }
      edges.push({ from: parent, to: id, path });
    }
  }
  const layers = ordered([...points.values(), ...edges.flatMap((edge) => edge.path.slice(1, -1))]);
  placed(layers);
  return { points, edges, width: extent(layers, 'x', BOX.width), height: extent(layers, 'y', 0, (p) => p.height) };
}

// A result stands one layer behind its last input; a leaf one layer before its first use.
function layersOf(ids, parents, children) {
  const layer = new Map();
  for (const id of ids) {
    if (parents.get(id).length) layer.set(id, 1 + Math.max(...parents.get(id).map((k) => layer.get(k) ?? 0)));
    else layer.set(id, 0);
  }
  for (const id of ids) {
    if (!parents.get(id).length && children.get(id).length) {
      layer.set(id, Math.max(0, Math.min(...children.get(id).map((k) => layer.get(k))) - 1));
    }
  }
  return layer;
}

// The order within the layers: neighbours' middles, swept forth and back until little crosses.
function ordered(points) {
  const count = Math.max(...points.map((p) => p.layer), 0) + 1;
  const layers = Array.from({ length: count }, () => []);
  for (const point of points) layers[point.layer].push(point);
  const number = () => layers.forEach((layer) => layer.forEach((point, k) => { point.order = k; }));
  number();
  let best = layers.map((layer) => [...layer]);
  let fewest = crossings(layers);
  for (let sweep = 0; sweep < 12 && fewest > 0; sweep++) {
    const [side, walk] = sweep % 2 ? ['after', [...layers].reverse()] : ['before', layers];
    for (const layer of walk) {
      const middle = (p) => (p[side].length ? p[side].reduce((sum, q) => sum + q.order, 0) / p[side].length : p.order);
      const keys = new Map(layer.map((p) => [p, middle(p)]));
      layer.sort((a, b) => keys.get(a) - keys.get(b) || a.order - b.order);
      layer.forEach((point, k) => { point.order = k; });
    }
    const now = crossings(layers);
    if (now < fewest) {
      fewest = now;
      best = layers.map((layer) => [...layer]);
    }
  }
  best.forEach((layer) => layer.forEach((point, k) => { point.order = k; }));
  return best;
}

function crossings(layers) {
  let count = 0;
  for (const layer of layers) {
    const pairs = layer.flatMap((p) => p.after.map((q) => [p.order, q.order]));
    for (let a = 0; a < pairs.length && a < 120; a++) {
      for (let b = 0; b < a; b++) count += (pairs[a][0] - pairs[b][0]) * (pairs[a][1] - pairs[b][1]) < 0;
    }
  }
  return count;
}

// Heights: everyone near the middle of its neighbours, nobody on top of another.
function placed(layers) {
  layers.forEach((layer, k) => {
    let y = 0;
    for (const point of layer) {
      point.x = k * (BOX.width + BOX.gapX);
      point.y = y + point.height / 2;
      y += point.height + BOX.gapY;
    }
  });
  for (let sweep = 0; sweep < 16; sweep++) {
    const side = sweep % 2 ? 'after' : 'before';
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      const wish = layer.map((p) => {
        const near = p[side].length ? p[side] : p[side === 'after' ? 'before' : 'after'];
        return near.length ? near.reduce((sum, q) => sum + q.y, 0) / near.length : p.y;
      });
      apart(layer, wish);
    }
  }
  closed(layers.flat());
}

// Bands in which nothing stands, as between two graphs that do not touch, are closed; the first begins at 0.
function closed(points) {
  const topOf = (point) => point.y - point.height / 2;
  const sorted = [...points].sort((a, b) => topOf(a) - topOf(b));
  let [bottom, shift] = [-BOX.gapY, topOf(sorted[0])];
  for (const point of sorted) {
    const top = topOf(point);
    if (top - shift > bottom + BOX.gapY) shift = top - bottom - BOX.gapY;
    point.y -= shift;
    bottom = Math.max(bottom, point.y + point.height / 2);
  }
}

// The heights closest to the wishes that keep the order and the gaps: blocks that overlap are merged and share a shift.
function apart(layer, wish) {
  const blocks = [];
  layer.forEach((point, k) => {
    let block = { points: [point], offsets: [0], height: point.height, sum: wish[k], count: 1 };
    block.top = wish[k] - point.height / 2;
    while (blocks.length) {
      const last = blocks[blocks.length - 1];
      if (last.top + last.height + BOX.gapY <= block.top) break;
      blocks.pop();
      const shift = last.height + BOX.gapY;
      block = {
        points: [...last.points, ...block.points],
        offsets: [...last.offsets, ...block.offsets.map((o) => o + shift)],
        height: shift + block.height,
        sum: last.sum + block.sum - shift * block.count,
        count: last.count + block.count,
      };
      block.top = block.sum / block.count - block.points[0].height / 2;
    }
    blocks.push(block);
  });
  for (const block of blocks) {
    block.points.forEach((point, k) => { point.y = block.top + block.offsets[k] + point.height / 2; });
  }
}

function extent(layers, key, size, own = () => 0) {
  return Math.max(0, ...layers.flat().map((p) => p[key] + size + own(p) / 2));
}

// The line of an edge: curves in the gaps between layers, straight through its lane in the layers it passes.
// Room for the head is left where the arrow points: at the end, or for a gradient at the start.
function routed(edge, back) {
  const first = edge.path[0];
  let [x, y] = [first.x + BOX.width + (back ? 10 : 0), first.y];
  let d = `M${x},${y.toFixed(1)}`;
  for (const point of edge.path.slice(1)) {
    const end = point.x - (point.id === null || back ? 0 : 7);
    const bend = (end - x) / 2;
    d += `C${x + bend},${y.toFixed(1)} ${end - bend},${point.y.toFixed(1)} ${end},${point.y.toFixed(1)}`;
    [x, y] = [end, point.y];
    if (point.id === null) {
      x = point.x + BOX.width;
      d += `H${x}`;
    }
  }
  return d;
}
