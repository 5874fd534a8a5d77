// The page: language and colours for all of it, players mounted where the body wants them, state in the address.

const data = JSON.parse(document.getElementById('player-data').textContent);
const root = document.documentElement;
const players = [];
let active = null;
let theme = null;

function language() {
  return root.lang;
}

function say(key, values = {}) {
  const text = data.strings[language()][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

function setLanguage(next) {
  root.lang = next;
  document.title = data.title[next];
  document.getElementById('switch-language').textContent = next === 'zh' ? 'English' : '中文';
  document.getElementById('switch-theme').textContent = '◐';
  document.getElementById('switch-theme').setAttribute('aria-label', say('theme'));
  document.getElementById('switch-theme').title = say('theme');
  for (const element of document.querySelectorAll('[data-says]')) element.textContent = say(element.dataset.says);
  for (const player of players) player.speak();
  remember();
}

function setTheme(next) {
  theme = next;
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  remember();
}

function isDark() {
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

// #12,zh  or  #1.12,en,p3-1,dark : player, step, language, predictions right and wrong, colours
function remember() {
  if (restoring || location.protocol === 'about:') return; // a frame without an address, as in a notebook
  const parts = [];
  if (active) parts.push((active.number ? `${active.number}.` : '') + active.step);
  else parts.push('0');
  parts.push(language());
  if (active && (active.right || active.wrong)) parts.push(`p${active.right}-${active.wrong}`);
  if (theme) parts.push(theme);
  const hash = `#${parts.join()}`;
  if (location.hash !== hash) history.replaceState(null, '', hash);
}

let restoring = true;

function restore() {
  restoring = true;
  const parts = decodeURIComponent(location.hash.slice(1)).split(',');
  const wanted = parts.find((part) => part === 'zh' || part === 'en');
  const colours = parts.find((part) => part === 'dark' || part === 'light');
  const position = /^(?:(\d+)\.)?(\d+)$/.exec(parts[0]);
  const score = parts.map((part) => /^p(\d+)-(\d+)$/.exec(part)).find(Boolean);
  if (position && players.length) {
    active = players[Math.min(Number(position[1] || 0), players.length - 1)];
    if (score) [active.right, active.wrong] = [Number(score[1]), Number(score[2])];
    active.goTo(Number(position[2]));
  }
  setTheme(colours || null);
  setLanguage(wanted || ((navigator.language || '').startsWith('zh') ? 'zh' : 'en'));
  restoring = false;
  remember();
}

function activate(player) {
  active = player;
  for (const other of players) other.element.classList.toggle('active', other === player && players.length > 1);
  remember();
}

document.getElementById('switch-language').addEventListener('click', () => setLanguage(language() === 'zh' ? 'en' : 'zh'));
document.getElementById('switch-theme').addEventListener('click', () => setTheme(isDark() ? 'light' : 'dark'));

for (const place of document.querySelectorAll('.player[data-trace]')) {
  const player = new Player(data.traces[Number(place.dataset.trace)], players.length, { say, activate, remember });
  players.push(player);
  place.replaceChildren(player.element);
  place.addEventListener('trace', (event) => player.load(data.traces[event.detail])); // a lesson's knob was turned
}
active = players[0] || null;
restore();
addEventListener('hashchange', restore);

// Paper is white.
addEventListener('beforeprint', () => { root.dataset.theme = 'light'; });
addEventListener('afterprint', () => setTheme(theme));

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof Element && event.target.closest('input, textarea, select, [contenteditable]');
  if (typing) return;
  if (event.key === 'l') setLanguage(language() === 'zh' ? 'en' : 'zh');
  else if (!active || !active.key(event)) return;
  event.preventDefault();
});
