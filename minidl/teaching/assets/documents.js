// Places within the page keep the language, and the language goes along to the lessons.
(() => {
  const wanted = decodeURIComponent(location.hash.slice(1)).split(',')[0];
  function show(id) {
    const place = document.getElementById(id);
    if (!place) return false;
    for (const other of document.querySelectorAll('.here')) other.classList.remove('here');
    if (place.tagName === 'DETAILS') place.open = true;
    place.classList.add('here');
    place.scrollIntoView({ behavior: 'instant' });
    place.setAttribute('tabindex', '-1');
    place.focus({ preventScroll: true });
    return true;
  }
  addEventListener('load', () => { if (wanted) show(wanted); });
  document.addEventListener('click', (event) => {
    const link = event.target.closest('.documents a[href]');
    if (!link) return;
    const href = link.getAttribute('href');
    if (href.startsWith('#')) { if (show(href.slice(1))) event.preventDefault(); }
    else link.href = `${href.split('#')[0]}#0,${document.documentElement.lang}`;
  });
  for (const box of document.querySelectorAll('.filter input')) {
    box.addEventListener('change', filter);
  }
  function filter() {
    for (const row of document.querySelectorAll('.erratum')) row.hidden = !document.getElementById(`show-${row.dataset.verdict}`).checked;
    for (const part of document.querySelectorAll('.documents .part')) part.hidden = !part.querySelector('.erratum:not([hidden])');
  }
})();
