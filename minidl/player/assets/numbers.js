// Numbers for the eye, and small ways to make elements.

const SVG = 'http://www.w3.org/2000/svg';
const MATH = 'http://www.w3.org/1998/Math/MathML';

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  return fill(element, attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function math(tag, attributes, ...children) {
  return fill(document.createElementNS(MATH, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

function asNumber(value) {
  if (value === 'nan') return NaN;
  if (value === 'inf') return Infinity;
  if (value === '-inf') return -Infinity;
  return typeof value === 'boolean' ? Number(value) : value;
}

// So many significant digits, a real minus, no needless zeros.
function show(raw, digits = 4) {
  if (typeof raw === 'boolean') return raw ? 'true' : 'false';
  const value = asNumber(raw);
  if (typeof value !== 'number') return String(raw);
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  if (value === 0) return '0';
  const size = Math.abs(value);
  let text;
  if (size < 1e-4 || size >= 1e7) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
    text = `${trimmed(mantissa)}e${Number(exponent)}`;
  } else {
    const whole = size < 1 ? 1 : String(Math.floor(size)).length;
    let decimals = Math.max(digits - whole, 0);
    if (size < 0.1) decimals = digits - 1 - Math.floor(Math.log10(size));
    else if (size < 1) decimals = digits;
    text = trimmed(value.toFixed(decimals));
  }
  return text.replaceAll('-', '−');
}

function trimmed(text) {
  return text.includes('.') ? text.replace(/0+$/, '').replace(/\.$/, '') : text;
}

function sizeOf(shape) {
  return shape.reduce((product, n) => product * n, 1);
}

function indexOf(place, shape) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(place % shape[axis]);
    place = Math.floor(place / shape[axis]);
  }
  return index;
}

function placeOf(index, shape) {
  return index.reduce((place, i, axis) => place * shape[axis] + i, 0);
}

// A value that is there from the start: a leaf with a name, or one that is learned. A bare number in the code is not.
function isGiven(node) {
  return Boolean(node.leaf) && (node.leaf !== 'Constant' || node.name !== '');
}

function shapeText(shape) {
  return shape.length ? shape.join('×') : '1';
}
