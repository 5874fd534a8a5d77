// Formulas with numbers in them, as MathML. Every number knows the array and the element it came from.

const BINDING = { '+': 1, '-': 1, neg: 2, '/': 2, '*': 3, '^': 4 };
const NAMED = { ln: 'ln', tanh: 'tanh', sigma: 'σ', sin: 'sin', cos: 'cos', erf: 'erf', sign: 'sign', max: 'max', min: 'min' };

function mo(text, attributes) {
  return math('mo', attributes, text);
}

function bracketed(inside, open = '(', close = ')') {
  return math('mrow', {}, mo(open, { stretchy: 'true' }), inside, mo(close, { stretchy: 'true' }));
}

function numeral(part) {
  const [, value, array, place] = part;
  const text = show(value);
  const attributes = array ? { class: `ref ${refClass(array)}`, 'data-array': array, 'data-place': place } : {};
  const times = text.indexOf('e');
  if (times < 0 || !/\d/.test(text)) return math('mn', attributes, text);
  return math('mrow', attributes, math('mn', {}, text.slice(0, times)), mo('·'),
    math('msup', {}, math('mn', {}, '10'), math('mn', {}, text.slice(times + 1))));
}

function refClass(array) {
  if (array.startsWith('x')) return `ref-${Number(array.slice(1)) % 4}`;
  return { y: 'ref-y', gy: 'ref-g', before: 'ref-0', gradient: 'ref-g' }[array] || 'ref-s';
}

function expression(part) {
  const [kind, ...parts] = part;
  if (kind === 'n') return numeral(part);
  if (kind === '…') return mo(`⋯`, { title: String(parts[0]) });
  if (kind === '+' || kind === '-' || kind === '*') {
    const sign = { '+': '+', '-': '−', '*': '·' }[kind];
    const row = math('mrow', {});
    parts.forEach((p, k) => row.append(...(k ? [mo(sign)] : []), inContext(kind, p, k)));
    return row;
  }
  if (kind === '/') return math('mfrac', {}, expression(parts[0]), expression(parts[1]));
  if (kind === 'neg') return math('mrow', {}, mo('−', { form: 'prefix' }), inContext(kind, parts[0], 1));
  if (kind === '^') return math('msup', {}, inContext(kind, parts[0], 0), expression(parts[1]));
  if (kind === 'exp') return math('msup', {}, math('mi', {}, 'e'), expression(parts[0]));
  if (kind === 'sqrt') return math('msqrt', {}, expression(parts[0]));
  if (kind === 'abs') return bracketed(expression(parts[0]), '|', '|');
  if (kind.startsWith('[')) {
    const inside = math('mrow', {}, expression(parts[0]), mo(kind.slice(1, -1)), expression(parts[1]));
    return bracketed(inside, '[', ']');
  }
  const row = math('mrow', {});
  parts.forEach((p, k) => row.append(...(k ? [mo(',')] : []), expression(p)));
  return math('mrow', {}, math('mi', { mathvariant: 'normal' }, NAMED[kind] || kind), bracketed(row));
}

function inContext(outer, part, k) {
  const inside = expression(part);
  const kind = part[0];
  if (kind === 'n') {
    const negative = show(part[1]).startsWith('−') || (outer === '^' && show(part[1]).includes('e'));
    return negative && !(k === 0 && (outer === '+' || outer === '-')) ? bracketed(inside) : inside;
  }
  if (!(kind in BINDING) || kind === '/') return outer === '^' && kind === '/' ? bracketed(inside) : inside;
  if (kind === 'neg' && k > 0) return bracketed(inside);
  const tight = BINDING[kind] > BINDING[outer] || (BINDING[kind] === BINDING[outer] && k === 0 && outer !== '^');
  return tight || (outer === '+' && kind === '+') ? inside : bracketed(inside);
}

// The name of a value: its own, or v with its number; with a bar it is its gradient.
function nameMath(name, id, index, bar, constant) {
  const barred = (base) => {
    if (!bar) return base;
    if (base.textContent.length > 1) return math('mrow', { class: 'barred' }, base);
    return math('mover', {}, base, mo('¯', { stretchy: 'true' }));
  };
  let letter;
  if (name) letter = nameParts(name, barred);
  else if (constant !== undefined) letter = barred(math('mn', {}, show(constant)));
  else letter = math('msub', {}, barred(math('mi', {}, 'v')), math('mn', {}, String(id)));
  if (!index || !index.length) return letter;
  if (!name) return math('mrow', {}, letter, mo('[', { stretchy: 'false' }), math('mn', {}, index.join(',')), mo(']', { stretchy: 'false' }));
  return math('msub', {}, math('mrow', {}, letter), math('mn', {}, index.join(',')));
}

const GREEK = {
  alpha: 'α', beta: 'β', gamma: 'γ', delta: 'δ', epsilon: 'ε', eta: 'η', theta: 'θ', kappa: 'κ', lambda: 'λ', lamda: 'λ', mu: 'μ', nu: 'ν',
  xi: 'ξ', rho: 'ρ', sigma: 'σ', tau: 'τ', phi: 'φ', chi: 'χ', psi: 'ψ', omega: 'ω',
};

// Names of Greek letters as the letters: theta_1 is θ_1.
function lettered(name) {
  return name.replace(/^[a-z]+(?=$|_|\d)/, (word) => GREEK[word] || word);
}

// W_z and x1 have an index; longer names stand upright as they are.
function nameParts(given, barred) {
  const name = lettered(given);
  const found = /^([A-Za-z\u0391-\u03c9])(?:_(\w{1,6})|(\d{1,2}))$/.exec(name);
  if (found) return math('msub', {}, barred(math('mi', {}, found[1])), math('mi', {}, found[2] || found[3]));
  return barred(math('mi', name.length > 1 ? { mathvariant: 'normal' } : {}, name));
}

// An equation that may wrap: the left side, the terms one by one, the result.
function equation(left, part, result, hidden) {
  const box = make('span', { class: 'equation' });
  const piece = (...inside) => box.append(wrapped(math('mrow', {}, ...inside)));
  const infix = { form: 'infix' };
  piece(left, mo('=', infix));
  if (part[0] === 'n' && !part[2] && !hidden) {
    piece(numeral(part)); // nothing to compute
    return box;
  }
  if (part[0] === '+') {
    part.slice(1).forEach((p, k) => piece(...(k ? [mo('+', infix)] : []), inContext('+', p, k)));
  } else {
    piece(expression(part));
  }
  const value = hidden ? math('mtext', {}, ' ? ') : numeral(['n', result]);
  box.append(wrapped(math('mrow', { class: 'result' }, mo('=', infix), value)));
  return box;
}

function wrapped(inside) {
  return math('math', { display: 'inline', displaystyle: 'true' }, inside);
}
