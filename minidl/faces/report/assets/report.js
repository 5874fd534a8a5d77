'use strict';
// Language and colours, kept in the address: #zh,dark. Without this script the page is whole, in English.

const root = document.documentElement;
const titles = JSON.parse(document.getElementById('titles').textContent);
const languageButton = document.getElementById('switch-language');
const themeButton = document.getElementById('switch-theme');
let theme = null;

function setLanguage(next) {
  root.lang = next;
  document.title = titles[next];
  const other = next === 'zh' ? 'en' : 'zh';
  languageButton.textContent = other === 'zh' ? '中文' : 'English';
  languageButton.lang = other;
  themeButton.title = next === 'zh' ? '深浅色' : 'light / dark';
  themeButton.setAttribute('aria-label', themeButton.title);
  remember();
}

function setTheme(next) {
  theme = next;
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  remember();
}

function remember() {
  const parts = [root.lang];
  if (theme) parts.push(theme);
  if (location.hash !== `#${parts}`) history.replaceState(null, '', `#${parts}`);
}

function isDark() {
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

const wanted = decodeURIComponent(location.hash.slice(1)).split(',');
const spoken = (navigator.language || '').startsWith('zh') ? 'zh' : 'en';
theme = ['light', 'dark'].find((name) => wanted.includes(name)) ?? null;
setTheme(theme);
setLanguage(['en', 'zh'].find((name) => wanted.includes(name)) ?? spoken);
languageButton.addEventListener('click', () => setLanguage(root.lang === 'zh' ? 'en' : 'zh'));
themeButton.addEventListener('click', () => setTheme(isDark() ? 'light' : 'dark'));
languageButton.hidden = themeButton.hidden = false;
