(function () {
  "use strict";
  const source = document.getElementById("variants");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const slot = (name) => document.querySelector('[data-slot="' + name + '"]');
  const original = {};
  data.groups.forEach((group) => Object.keys(group.slots).forEach((name) => { original[name] = slot(name).innerHTML; }));
  const controls = (group) => group.knobs.map((name) => document.querySelector('[data-knob="' + name + '"]'));
  function apply(group) {
    const places = controls(group).map((control) => {
      const output = control.parentElement.querySelector("output");
      if (output) {
        output.textContent = control.dataset.values.split("|")[+control.value];
        control.setAttribute("aria-valuetext", output.textContent);
      }
      return +control.value;
    });
    const variant = group.variants[places.join(",")];
    for (const name of Object.keys(group.slots)) {
      const html = variant === undefined ? original[name] : group.slots[name][0][group.slots[name][1][variant]];
      const place = slot(name);
      if (place.innerHTML !== html) place.innerHTML = html;
    }
    for (const [name, [own, others]] of Object.entries(group.traces)) {
      const found = variant === undefined ? own : others[variant];
      document.querySelector('.stale[data-of="' + name + '"]').hidden = found !== null;
      const place = document.querySelector('.player[data-of="' + name + '"]');
      place.dispatchEvent(new CustomEvent("trace", { detail: found === null ? own : found }));
    }
  }
  data.groups.forEach((group) => controls(group).forEach((control) => control.addEventListener("input", () => apply(group))));
})();
