// Icons of the buttons, drawn, because fonts differ.
const ICONS = {
  first: 'M4 4h2v12H4zM16 4v12L7 10z', previous: 'M14 4v12L5 10z', next: 'M6 4v12l9-6z', last: 'M14 4h2v12h-2zM4 4v12l9-6z',
  play: 'M5 3v14l11-7z', pause: 'M5 3h4v14H5zM11 3h4v14h-4z',
};

function icon(name) {
  return svg('svg', { viewBox: '0 0 20 20', width: 16, height: 16, 'aria-hidden': 'true', class: 'icon-button' }, svg('path', { d: ICONS[name] }));
}

// One player: where it stands, what is known there, its buttons and keys.
class Player {
  constructor(trace, number, page) {
    this.number = number;
    this.page = page;
    this.say = page.say;
    this.step = 0;
    this.level = 0;
    this.right = 0;
    this.wrong = 0;
    this.predict = false;
    this.data = trace;
    this.build();
    this.load(trace);
  }

  // Play another recording from here on: the same lesson with other numbers. The step is kept.
  load(trace) {
    this.data = trace;
    this.answers = new Map();
    this.picks = new Map();
    this.graph.layouts.clear();
    this.levels.replaceChildren(...trace.levels.map((level) => make('option', { value: level })));
    this.setLevel(this.level);
    this.slider.max = this.field.max = String(trace.steps.length - 1);
    this.slider.style.background = this.track();
    this.listing();
    this.goTo(this.step);
  }

  language() {
    return document.documentElement.lang === 'en' ? 'en' : 'zh';
  }

  // ── the parts ──────────────────────────────────────────────────────────────────────────────

  build() {
    const button = (key, act) => make('button', { type: 'button', onclick: act, 'data-title': key }, icon(key));
    this.controls = {
      first: button('first', () => this.goTo(0)),
      previous: button('previous', () => this.move(-1)),
      next: button('next', () => this.move(1)),
      last: button('last', () => this.goTo(this.data.steps.length - 1)),
      play: button('play', () => this.toggle()),
      jump: make('button', { type: 'button', class: 'worded', onclick: () => this.jump() }),
      predict: make('button', { type: 'button', class: 'worded', 'aria-pressed': 'false', onclick: () => this.togglePredict() }),
    };
    const { first, previous, next, last, play, jump, predict } = this.controls;
    this.levels = make('select', { onchange: () => { this.level = this.levels.selectedIndex; } });
    this.levelLabel = make('label', {}, make('span', {}), this.levels);
    this.field = make('input', { type: 'number', min: 0, value: 0,
      onchange: () => this.goTo(Number(this.field.value)) });
    this.fieldLabel = make('label', { class: 'goto' }, make('span', {}), this.field, make('span', {}));
    this.slider = make('input', { type: 'range', min: 0, value: 0, step: 1,
      oninput: () => this.goTo(Number(this.slider.value)) });
    this.where = make('p', { class: 'where', role: 'status', 'aria-live': 'polite' });
    this.code = make('div', { class: 'code', tabindex: '0' });
    this.graph = new Graph(this);
    this.card = new Card(this);
    this.checks = make('div', { class: 'checks' });
    this.element = make('section', { class: 'play', tabindex: '-1', onpointerdown: () => this.page.activate(this), onfocusin: () => this.page.activate(this) },
      make('div', { class: 'bar' },
        make('div', { class: 'steps' }, first, previous, next, last, play),
        this.fieldLabel, make('div', { class: 'more' }, this.levelLabel, jump, predict)),
      this.slider, this.where,
      make('div', { class: 'top-row' }, this.code, this.graph.element),
      this.card.element, this.checks);
  }

  // The slider's colours: where computing ends and gradients begin.
  track() {
    const { steps } = this.data;
    const colour = { forward: 'var(--go)', start: 'var(--go)', backward: 'var(--back)', update: 'var(--change)' };
    const stops = steps.map((step, k) => {
      const c = colour[step.k] || 'var(--quiet)';
      return `${c} ${((100 * k) / steps.length).toFixed(2)}% ${((100 * (k + 1)) / steps.length).toFixed(2)}%`;
    });
    return `linear-gradient(to right, ${stops.join(', ')}) center / 100% 6px no-repeat`;
  }

  listing() {
    this.lines = new Map();
    this.code.replaceChildren();
    this.data.sources.forEach((source, file) => {
      const list = make('ol', {});
      source.stretches.forEach((stretch, k) => {
        if (k) list.append(make('li', { class: 'gap', 'aria-hidden': 'true' }, '⋮'));
        stretch.lines.forEach((text, offset) => {
          const line = make('li', { value: stretch.first + offset }, make('span', { class: 'mark', 'aria-hidden': 'true' }),
            make('span', { class: 'number', 'aria-hidden': 'true' }, String(stretch.first + offset)), make('code', {}, text || ' '));
          this.lines.set(`${file}:${stretch.first + offset}`, line);
          list.append(line);
        });
      });
      this.code.append(make('figure', {}, make('figcaption', {}, source.file), list));
    });
  }

  // ── what is known at a step ────────────────────────────────────────────────────────────────

  state() {
    const { nodes, steps } = this.data;
    const state = { done: new Set(), grads: new Map(), values: new Map() };
    nodes.forEach((node, id) => { if (isGiven(node)) state.done.add(id); });
    steps.forEach((step, k) => {
      if (k > this.step) {
        if (step.k === 'update' && !state.values.has(step.out[0])) state.values.set(step.out[0], step.before);
        return;
      }
      if (step.k === 'forward') {
        if (k && steps[k - 1].k === 'update') state.grads.clear();
        for (const id of [...step.out, ...step.in]) state.done.add(id);
      } else if (step.k === 'backward') {
        step.out.forEach((id, j) => { if (!state.grads.has(id)) state.grads.set(id, step.up[j]); });
        for (const part of step.sent) if (part) state.grads.set(part.to, part.acc);
      } else if (step.k === 'update') {
        state.values.set(step.out[0], step.after);
      }
    });
    return state;
  }

  nameOf(id) {
    const node = this.data.nodes[id];
    if (node.name) return lettered(node.name);
    return node.leaf === 'Constant' && sizeOf(node.v.s) === 1 && node.v.d ? show(node.v.d[0]) : `v${id}`;
  }

  // ── showing it ─────────────────────────────────────────────────────────────────────────────

  render() {
    const now = this.data.steps[this.step];
    for (const line of this.lines.values()) line.classList.remove('lit', 'back');
    const line = now.at && this.lines.get(now.at.join(':'));
    if (line) {
      line.classList.add('lit');
      if (now.k === 'backward') line.classList.add('back');
      this.code.scrollTop = line.offsetTop - this.code.clientHeight / 2;
    }
    this.slider.value = this.field.value = String(this.step);
    this.speak();
  }

  // Everything in words, in the language of the page.
  speak() {
    const { say, controls } = this;
    const now = this.data.steps[this.step];
    this.element.setAttribute('aria-label', say('player'));
    for (const b of this.element.querySelectorAll('[data-title]')) {
      const key = b === controls.play && this.timer ? 'pause' : b.dataset.title;
      b.title = say(key);
      b.setAttribute('aria-label', say(key));
    }
    controls.play.replaceChildren(icon(this.timer ? 'pause' : 'play'));
    controls.jump.textContent = say(now.k === 'backward' ? 'to_forward' : 'to_backward');
    controls.jump.hidden = !this.data.steps.some((step) => step.k === 'backward');
    controls.predict.textContent = say('predict');
    controls.predict.setAttribute('aria-pressed', String(this.predict));
    controls.previous.disabled = controls.first.disabled = this.step === 0;
    controls.next.disabled = controls.last.disabled = this.step === this.data.steps.length - 1;
    this.levelLabel.firstChild.textContent = say('level');
    [...this.levels.options].forEach((option) => { option.textContent = say(`level_${option.value}`); });
    this.levelLabel.hidden = this.data.levels.length < 2;
    this.fieldLabel.firstChild.textContent = say('go_to');
    this.fieldLabel.lastChild.textContent = say('of', { n: this.data.steps.length - 1 });
    this.slider.setAttribute('aria-label', say('go_to'));
    this.code.setAttribute('aria-label', say('code'));
    const what = this.what(now);
    this.where.replaceChildren(
      make('b', { class: `kind ${now.k}` }, say(now.k)), ' ',
      (now.scope || []).length ? make('span', { class: 'scope' }, now.scope.join(' › '), ' · ') : '', what,
      make('span', { class: 'unseen' }, ` ${say('announce', { i: this.step, n: this.data.steps.length - 1, kind: say(now.k), what: '' })}`));
    this.slider.setAttribute('aria-valuetext', `${this.step}: ${say(now.k)} ${what}`);
    const state = this.state();
    this.card.show(this.step, state);
    this.graph.draw(this.step, state, this.hidden());
    this.checks.replaceChildren(...this.data.steps.filter((step) => step.k === 'check' && step !== now).map((step) => checkLine(step, say)));
  }

  what(now) {
    const { nodes } = this.data;
    if (now.k === 'forward') return `${nodes[now.out[0]].sym}: ${now.in.map((id) => this.nameOf(id)).join(', ')} → ${now.out.map((id) => this.nameOf(id)).join(', ')}`;
    if (now.k === 'backward') return `${nodes[now.out[0]].sym}: ${now.out.map((id) => `∂${this.nameOf(id)}`).join(', ')} → ${now.sent.filter(Boolean).map((part) => `∂${this.nameOf(part.to)}`).join(', ')}`;
    if (now.k === 'update') return `${now.rule}: ${this.nameOf(now.out[0])}`;
    return now.name || now.purpose || now.key || '';
  }

  // ── moving ─────────────────────────────────────────────────────────────────────────────────

  goTo(step) {
    if (!Number.isFinite(step)) return;
    this.step = Math.max(0, Math.min(Math.round(step), this.data.steps.length - 1));
    this.render();
    this.page.remember();
  }

  // One press: to the last step of the next group, or of the one before.
  move(direction) {
    const { steps, levelIndex } = this.data;
    const level = levelIndex[this.level];
    const group = (k) => steps[k].groups[level];
    let at = this.step;
    if (direction > 0) {
      if (at === steps.length - 1) return;
      at += 1;
      while (at + 1 < steps.length && group(at + 1) === group(at)) at += 1;
    } else {
      const own = group(at);
      while (at > 0 && group(at) === own) at -= 1;
    }
    this.goTo(at);
  }

  jump() {
    const { steps } = this.data;
    const back = steps[this.step].k === 'backward';
    const next = steps.findIndex((step, k) => k > this.step && step.k === 'backward');
    const any = steps.findIndex((step) => step.k === 'backward');
    if (back) this.goTo(0);
    else if (any >= 0) this.goTo(next >= 0 ? next : any);
  }

  goToNode(id) {
    const at = this.data.steps.findIndex((step) => step.k === 'forward' && step.out.includes(id));
    if (at >= 0) this.goTo(at);
  }

  toggle() {
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = null;
    } else {
      if (this.step === this.data.steps.length - 1) this.goTo(0);
      this.timer = setInterval(() => {
        this.move(1);
        if (this.step === this.data.steps.length - 1) this.toggle();
      }, 1400);
    }
    this.speak();
  }

  setLevel(level) {
    this.level = Math.max(0, Math.min(level, this.data.levels.length - 1));
    this.levels.selectedIndex = this.level;
  }

  // True where the key was ours.
  key(event) {
    const inside = this.element.contains(document.activeElement);
    const acts = {
      ArrowRight: () => this.move(1), ArrowLeft: () => this.move(-1), Home: null, End: null,
      b: () => this.jump(), g: () => { this.field.focus(); this.field.select(); }, p: () => this.togglePredict(),
    };
    if (inside) {
      acts.ArrowUp = () => this.setLevel(this.level + 1);
      acts.ArrowDown = () => this.setLevel(this.level - 1);
    }
    const act = acts[event.key];
    if (!act) return false;
    act();
    return true;
  }

  // ── the selected element, and predictions ──────────────────────────────────────────────────

  chosen(k, equations) {
    const picked = this.picks.get(`${this.step}:${k}`);
    return picked !== undefined ? picked : equations.length ? equations[0][0] : 0;
  }

  choose(k, place) {
    this.picks.set(`${this.step}:${k}`, place);
    this.speak();
  }

  togglePredict() {
    this.predict = !this.predict;
    this.speak();
  }

  // Which contribution of a backward step is asked for: the first that has a formula.
  asked() {
    return (this.data.steps[this.step].sent || []).findIndex((part) => part && part.eq.length);
  }

  predicting() {
    const now = this.data.steps[this.step];
    return this.predict && ((now.k === 'forward' && now.eq.length > 0) || (now.k === 'backward' && this.asked() >= 0));
  }

  hidden() {
    return this.predicting() && !this.answers.has(this.step);
  }

  hides(id) {
    const now = this.data.steps[this.step];
    return this.hidden() && (now.sent || []).some((part) => part && part.to === id);
  }

  answer() {
    return this.answers.get(this.step);
  }

  judge(guess, truth) {
    const right = Math.abs(guess - truth) <= Math.max(0.01 * Math.abs(truth), 1e-9);
    if (right) {
      this.right += 1;
      this.answers.set(this.step, 'right');
    } else {
      this.wrong += 1;
    }
    if (right) this.speak();
    this.page.remember();
    return right;
  }

  reveal() {
    this.answers.set(this.step, 'shown');
    this.speak();
  }
}
