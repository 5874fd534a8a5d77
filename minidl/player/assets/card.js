// What happened in a step: formula, the same formula with numbers, the values in and out, pictures and checks.

const WINDOWED = ['Conv2d', 'MaxPool2d', 'AvgPool2d'];

// What the formulas of the optimizers call what they remember.
const REMEMBERED = {
  exp_avg: 'm', exp_avg_sq: 'v', max_exp_avg_sq: 'v̂', momentum_buffer: 'b', sum: 'G', square_avg: 's', acc_delta: 'd', grad_avg: 'ḡ',
};

class Card {
  constructor(player) {
    this.player = player;
    this.element = make('div', { class: 'card' });
  }

  show(step, state) {
    const now = this.player.data.steps[step];
    const parts = this[now.k](now, state);
    this.element.replaceChildren(...parts.filter(Boolean));
  }

  start(now, state) {
    const { nodes } = this.player.data;
    const given = nodes.map((node, id) => [node, id]).filter(([node]) => isGiven(node));
    const say = this.player.say;
    const tables = (some) => make('div', { class: 'flow' }, some.map(([node, id]) => valueTable(node.v, { caption: this.caption(id), note: node.scope.at(-1), say })));
    const learned = given.filter(([node]) => node.leaf === 'Parameter');
    const rest = given.filter(([node]) => node.leaf !== 'Parameter');
    return [
      make('p', { class: 'lead' }, say('start_text')),
      rest.length ? make('h4', {}, say('given')) : null,
      rest.length ? tables(rest) : null,
      learned.length ? make('details', { open: learned.length < 5 }, make('summary', {}, say('parameters', { n: learned.length })), tables(learned)) : null,
    ];
  }

  forward(now, state) {
    const player = this.player;
    const id = now.out[0];
    const node = player.data.nodes[id];
    const hidden = player.hidden();
    const chosen = player.chosen(0, now.eq);
    const found = now.eq.find(([place]) => place === chosen);
    const lit = litBy(found && found[1]);
    const can = new Set(now.eq.map(([place]) => place));
    const one = sizeOf(node.v.s) === 1;
    const ins = now.in.map((input, k) => valueTable(state.values.get(input) || player.data.nodes[input].v, {
      caption: this.caption(input), array: `x${k}`, lit: lit.get(`x${k}`), say: player.say }));
    const outs = now.out.map((output, k) => valueTable(player.data.nodes[output].v, {
      caption: this.caption(output), array: 'y', hidden, say: player.say,
      ...(k === 0 && can.size && !one ? { choose: (place) => player.choose(0, place), chosen, can } : {}) }));
    const window = WINDOWED.includes(node.op) && !hidden ? pictureOf(player, now, state, chosen) : null;
    return [
      this.formulas(now, 'forward', found && this.equationOf(id, found, hidden, false)),
      player.predicting() ? this.question(nameMath(node.name, id, one ? [] : indexOf(chosen, node.v.s)), found) : null,
      make('div', { class: 'flow' }, window || ins, make('span', { class: 'arrow', 'aria-hidden': 'true' }, '→'), outs),
      can.size > 1 && !one ? make('p', { class: 'hint' }, player.say(can.has(chosen) ? 'choose' : 'not_kept')) : null,
      hidden || window ? null : pictureOf(player, now, state, chosen),
    ];
  }

  backward(now, state) {
    const player = this.player;
    const say = player.say;
    const hidden = player.hidden();
    const rows = now.out.map((id, k) => valueTable(now.up[k], { caption: this.caption(id, true), array: 'gy', say,
      note: say('upstream'), lit: this.lit(now, 'gy') }));
    const known = [...now.in.map((id, k) => [id, `x${k}`]), [now.out[0], 'y']];
    const used = known.map(([id, array]) => [id, array, this.lit(now, array)]).filter(([, , lit]) => lit.size)
      .map(([id, array, lit]) => valueTable(state.values.get(id) || player.data.nodes[id].v, { caption: this.caption(id), array, say, lit }));
    if (now.winners) {
      used.push(valueTable(player.data.nodes[now.in[0]].v, { caption: this.caption(now.in[0]), note: say('winners'), array: 'x0', say, lit: new Set(now.winners) }));
    }
    const sent = now.sent.map((part, k) => {
      if (!part) return null;
      const chosen = player.chosen(k, part.eq);
      const found = part.eq.find(([place]) => place === chosen);
      const can = new Set(part.eq.map(([place]) => place));
      const one = sizeOf(part.v.s) === 1;
      const index = one ? [] : indexOf(chosen, part.v.s);
      const same = part.v.d && part.acc.d && part.v.d.every((v, i) => v === part.acc.d[i]);
      return make('section', { class: 'sent' },
        make('h4', {}, `${say('contribution')} `, ...this.around('to_input', this.caption(part.to))),
        found ? make('p', { class: 'plugged' }, this.equationOf(part.to, found, hidden, true)) : null,
        player.predicting() && k === player.asked() ? this.question(nameMath(player.data.nodes[part.to].name, part.to, index, true), found) : null,
        make('div', { class: 'flow' },
          valueTable(part.v, { caption: this.caption(part.to, true), note: say('contribution'), array: 'gy', hidden, say,
            ...(can.size && !one ? { choose: (place) => player.choose(k, place), chosen, can } : {}) }),
          make('span', { class: 'arrow', 'aria-hidden': 'true' }, same ? '=' : '＋='),
          valueTable(part.acc, { caption: this.caption(part.to, true), note: say('accumulated'), class: 'total', hidden, say })));
    });
    const none = now.sent.map((part, k) => (part ? null : now.in[k])).filter((id) => id !== null && id !== undefined);
    return [
      this.formulas(now, 'adjoint'),
      make('div', { class: 'flow' }, rows, used.length ? make('span', { class: 'arrow', 'aria-hidden': 'true' }, '×') : null, used),
      make('div', { class: 'sents' }, sent),
      none.length ? make('p', { class: 'hint' }, say('no_contribution', { x: none.map((id) => player.nameOf(id)).join(', ') })) : null,
    ];
  }

  update(now, state) {
    const player = this.player;
    const say = player.say;
    const id = now.out[0];
    const chosen = player.chosen(0, now.lines);
    const found = now.lines.find(([place]) => place === chosen);
    const can = new Set(now.lines.map(([place]) => place));
    const one = sizeOf(now.after.s) === 1;
    const pick = can.size && !one ? { choose: (place) => player.choose(0, place), chosen, can } : {};
    const rows = found && make('div', { class: 'plugged' }, found[1].map(([letter, part, value]) => {
      const own = letter || nameMath(player.data.nodes[id].name, id, one ? [] : indexOf(chosen, now.after.s));
      const left = typeof own === 'string' ? document.importNode(new DOMParser().parseFromString(own, 'text/xml').documentElement.firstElementChild, true) : own;
      return make('p', {}, equation(left, part, value, false));
    }));
    const remembered = (values, which) => Object.entries(values).filter(([, v]) => v && v.s).map(([key, v]) =>
      valueTable(v, { caption: REMEMBERED[key] ? `${REMEMBERED[key]} · ${key}` : key, note: say(which), array: 'state', say }));
    const options = Object.entries(now.options).filter(([, v]) => v !== null && v !== false && v !== 0)
      .map(([key, v]) => `${key} = ${Array.isArray(v) ? v.map((x) => show(x)).join(', ') : show(v)}`);
    return [
      this.formulas(now, 'forward'),
      options.length ? make('p', { class: 'hint' }, `${now.rule}: ${options.join(' · ')}`) : null,
      rows,
      make('div', { class: 'flow' },
        valueTable(now.before, { caption: this.caption(id), note: say('before'), array: 'before', say, ...pick }),
        valueTable(now.gradient, { caption: this.caption(id, true), note: say('gradient'), array: 'gy', say }),
        remembered(now.old, 'before'),
        make('span', { class: 'arrow', 'aria-hidden': 'true' }, '→'),
        remembered(now.new, 'after'),
        valueTable(now.after, { caption: this.caption(id), note: say('after'), array: 'y', say })),
      downhill(player, state),
    ];
  }

  draw(now) {
    return [make('p', { class: 'lead' }, now.purpose),
      make('div', { class: 'flow' }, valueTable(now.v, { caption: now.purpose, note: this.player.say('mask'), say: this.player.say }))];
  }

  check(now) {
    const say = this.player.say;
    return [checkLine(now, say), ...now.rows.map((row) => make('section', { class: row.passed ? 'passed' : 'failed' },
      make('h4', {}, `${row.passed ? '✓' : '✗'} ∂/∂${row.name} · ${say(row.passed ? 'check_passed' : 'check_failed')} · ${show(row.error, 2)}`),
      make('div', { class: 'flow' }, valueTable(row.a, { caption: say('analytic'), say }), valueTable(row.n, { caption: say('numeric'), say }))))];
  }

  note(now) {
    const mark = now.passed === null ? '' : now.passed ? '✓ ' : '✗ ';
    const verdict = now.passed === null ? '' : this.player.say(now.passed ? 'exercise_passed' : 'exercise_failed');
    return [make('h4', {}, `${mark}${now.key} ${verdict}`), make('p', { class: 'lead' }, now.text[this.player.language()])];
  }

  // ── parts ──────────────────────────────────────────────────────────────────────────────────

  formulas(now, side, plugged) {
    const formula = this.player.data.formulas[now.f];
    const say = this.player.say;
    const box = make('div', { class: 'formulas' });
    if (formula && formula[side]) {
      const place = make('div', { class: 'symbols' });
      place.innerHTML = formula[side];
      box.append(make('section', {}, make('h4', {}, say('formula')), place));
    }
    if (plugged) box.append(make('section', { class: 'plugged' }, make('h4', {}, say('numbers')), plugged));
    else if (now.k === 'forward' && !now.eq.length) {
      const whole = [...now.in, ...now.out].every((id) => this.player.data.nodes[id].v.d);
      box.append(make('p', { class: 'hint' }, say(whole ? 'no_rule' : 'too_large')));
    }
    return box;
  }

  equationOf(id, found, hidden, bar) {
    const node = this.player.data.nodes[id];
    const index = sizeOf(node.v.s) === 1 ? [] : indexOf(found[0], node.v.s);
    return equation(nameMath(node.name, id, index, bar), found[1], found[2], hidden);
  }

  caption(id, bar = false) {
    const node = this.player.data.nodes[id];
    const constant = node.leaf === 'Constant' && node.v.d && node.v.d.length === 1 ? node.v.d[0] : undefined;
    return wrapped(nameMath(node.name, id, [], bar, constant));
  }

  // A text of the player with an element in the place of {x}.
  around(key, element) {
    const [before, after] = this.player.say(key).split('{x}');
    return [before, element, after];
  }

  // The elements of an array that the shown formulas of a backward step use.
  lit(now, array) {
    const lit = new Set();
    now.sent.forEach((part, j) => {
      const found = part && part.eq.find(([place]) => place === this.player.chosen(j, part.eq));
      for (const place of litBy(found && found[1]).get(array) || []) lit.add(place);
    });
    return lit;
  }

  question(left, found) {
    const player = this.player;
    const say = player.say;
    if (!found) return null;
    const answered = player.answer();
    if (answered) {
      return make('p', { class: `predict ${answered}`, role: 'status' },
        answered === 'right' ? `✓ ${say('predict_right')}` : '', ` ${say('predict_score', { right: player.right, wrong: player.wrong })}`);
    }
    const field = make('input', { type: 'text', inputmode: 'text', autocomplete: 'off', size: 10, 'aria-label': say('predict') });
    const told = make('span', { class: 'told', role: 'status' });
    const judge = (event) => {
      event.preventDefault();
      const guess = Number(field.value.trim().replace('−', '-').replace(',', '.'));
      if (field.value.trim() === '' || Number.isNaN(guess)) told.textContent = say('predict_number');
      else if (!player.judge(guess, asNumber(found[2]))) told.textContent = `✗ ${say('predict_wrong')}`;
    };
    const [before, after] = say('predict_ask').split('{x}');
    return make('form', { class: 'predict', onsubmit: judge }, make('label', {}, before, wrapped(left), after, ' ', field),
      make('button', { type: 'submit' }, say('predict_check')),
      make('button', { type: 'button', class: 'quiet', onclick: () => player.reveal() }, say('predict_show')),
      make('small', {}, say('predict_hint')), told);
  }
}

// The elements that the numbers of an expression come from, by array.
function litBy(part, found = new Map()) {
  if (!part) return found;
  if (part[0] === 'n') {
    if (part[2]) found.set(part[2], (found.get(part[2]) || new Set()).add(part[3]));
  } else if (part[0] !== '…') {
    part.slice(1).forEach((p) => litBy(p, found));
  }
  return found;
}

function checkLine(now, say) {
  const worst = Math.max(...now.rows.map((row) => asNumber(row.error)), 0);
  return make('p', { class: `check ${now.passed ? 'passed' : 'failed'}` }, `${now.passed ? '✓' : '✗'} `,
    say('check_line', { name: now.name, error: show(worst, 2) }));
}
