'use strict';
// The page asks the program that serves it, and nobody else: who is on a frame, why; make known; forget.

const root = document.documentElement;
const at = (id) => document.getElementById(id);
const [video, photo, boxes, stage] = ['video', 'photo', 'boxes', 'stage'].map(at);
const LONGEST = 1600; // pixels of a photograph's longer side that are sent
const FRAME = 640;
const LISTED = 300; // people; more are counted
const SHOTS = 5; // frames by which a person is enrolled

let running = false;
let shown = null; // the last answer to /look
let known = [];
let facts = null;
let theme = null;
let asking = null; // the map that was asked for: {key, url}

// ── words ───────────────────────────────────────────────────────────────────────────────────────

const WORDS = {
  unknown: ['unknown', '不认识'],
  nobody_yet: ['nobody is enrolled yet', '还没有登记任何人'],
  nearest: ['most like {name}, but not enough', '最像 {name}，但还不够'],
  numbers: ['similarity {similarity}, threshold {threshold}', '相似度 {similarity}，阈值 {threshold}'],
  chance: ['{percent} that it is {name}, if strangers are as frequent as known people', '若陌生人与认识的人一样多，是 {name} 的可能为 {percent}'],
  quality: ['picture quality {percent} %', '图像质量 {percent} %'],
  why: ['Why?', '为什么？'],
  why_text: ['red: what makes it like {name}; blue: what speaks against it', '红色：像 {name} 的地方；蓝色：不像的地方'],
  forget: ['Forget', '忘掉'],
  templates: ['pictures: {n}', '{n} 张'],
  forgotten: ['{name} was forgotten.', '已忘掉 {name}。'],
  forgotten_trained: ['{name} was forgotten here, but the model was trained with pictures of {name}: train again without them to undo that.', '这里已忘掉 {name}，但模型是用 {name} 的照片训练的：要彻底去除，请不用这些照片重新训练。'],
  enrolled: ['{name}: pictures added: {n}.', '{name}：添加了 {n} 张。'],
  enrolled_some: ['{name}: pictures added: {n}; could not be used: {bad}, {why}', '{name}：添加了 {n} 张，{bad} 张无法使用：{why}'],
  hold: ['Look into the camera, turn your head a little… {k} of {n}', '请看镜头，稍微转动头部…… {k} / {n}'],
  name_first: ['Write a name first.', '请先写姓名。'],
  no_camera: ['The camera cannot be used: {why}', '无法使用摄像头：{why}'],
  gone: ['The program behind this page does not answer: was it ended?', '本页背后的程序没有回应：是不是已经结束了？'],
  unreadable: ['this file is not a picture that the browser can read', '浏览器无法读取这个文件'],
  model: ['Model: {model} ({source}), {n} learned parameters.', '模型：{model}（{source}），学到的参数 {n} 个。'],
  rates: ['Threshold {threshold}. When it was chosen, by {images} images, {named} % of strangers searched among {people} people were given a name, and {missed} % of pictures of known people were not. Here it may be worse: other light, another camera, other people.', '阈值 {threshold}。选择它时用了 {images} 张图像：在 {people} 人中查找的陌生人有 {named} % 被叫了名字，认识的人有 {missed} % 的照片没被认出。在这里可能更差：光线、相机和人都不同。'],
  thumb: ['Threshold {threshold}, by a rule of thumb on the training images: calibrate the model with others (minidl faces calibrate).', '阈值 {threshold}，来自训练图像上的经验规则：请用别的图像校准（minidl faces calibrate）。'],
  more: ['and {n} others', '还有 {n} 人'],
  in_file: ['Kept in {file}.', '保存在 {file}。'],
  in_sealed: ['Kept in {file}, sealed by a passphrase.', '保存在 {file}，已用口令加密。'],
  speed: ['{n} looks a second', '每秒看 {n} 次'],
  theme: ['light / dark', '深浅色'],
};

function say(key, values = {}) {
  const text = WORDS[key][root.lang === 'zh' ? 1 : 0];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function setLanguage(next) {
  root.lang = next;
  const button = at('switch-language');
  button.textContent = next === 'zh' ? 'English' : '中文';
  button.lang = next === 'zh' ? 'en' : 'zh';
  at('switch-theme').title = say('theme');
  at('switch-theme').setAttribute('aria-label', say('theme'));
  at('name').setCustomValidity('');
  drawAbout();
  drawPeople();
  drawFaces();
}

function setTheme(next) {
  theme = next;
  if (next) root.dataset.theme = next;
  drawBoxes();
}

// ── asking ──────────────────────────────────────────────────────────────────────────────────────

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: 'POST', body });
  } catch {
    throw new Error(say('gone'));
  }
  if (!answer.ok) {
    const text = await answer.text();
    let told = text;
    try { told = JSON.parse(text).error; } catch { /* a sentence as it is */ }
    throw new Error(told);
  }
  return answer.headers.get('content-type').startsWith('image/') ? answer.blob() : answer.json();
}

const named = (name) => encodeURIComponent(JSON.stringify(name));

function tell(id, text, bad = false) {
  const place = at(id);
  place.textContent = text;
  place.hidden = !text;
  place.classList.toggle('bad', bad);
}

// ── pictures to send ────────────────────────────────────────────────────────────────────────────

function encoded(source, width, height, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  canvas.getContext('2d').drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.92));
}

const frame = () => encoded(video, video.videoWidth, video.videoHeight, FRAME);

// A small file goes as it is: an aligned face would lose by being encoded again.
async function upload(file) {
  if (file.size < 300_000) return file;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file; // a format that the browser cannot read, but the program perhaps can
  }
  return encoded(bitmap, bitmap.width, bitmap.height, LONGEST);
}

// ── the camera ──────────────────────────────────────────────────────────────────────────────────

async function start() {
  tell('message', '');
  try {
    const camera = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720, facingMode: 'user' }, audio: false });
    video.srcObject = camera;
    await video.play();
  } catch (error) {
    tell('message', say('no_camera', { why: error.message }), true);
    return;
  }
  show('video');
  running = true;
  watch();
}

function stop() {
  running = false;
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  shown = null;
  show(null);
  drawFaces();
}

function show(what) {
  video.hidden = what !== 'video';
  photo.hidden = what !== 'photo';
  at('empty').hidden = what !== null;
  at('stop').hidden = what !== 'video';
  at('camera').hidden = what === 'video';
  at('take').disabled = what !== 'video';
  at('speed').textContent = '';
}

async function watch() {
  let last = performance.now();
  let pace = null;
  while (running) {
    try {
      const found = await ask('look?live=1', await frame());
      if (!running) return;
      tell('message', '');
      shown = found;
      drawFaces();
    } catch (error) {
      if (!running) return;
      tell('message', error.message, true);
      await new Promise((done) => setTimeout(done, 1000));
    }
    const now = performance.now();
    pace = pace === null ? now - last : 0.8 * pace + 0.2 * (now - last);
    last = now;
    at('speed').textContent = say('speed', { n: (1000 / pace).toFixed(1) });
    await new Promise((done) => setTimeout(done, 60));
  }
}

async function lookAt(file) {
  if (running) stop();
  tell('message', '');
  shown = null;
  const picture = await upload(file);
  URL.revokeObjectURL(photo.src);
  photo.src = URL.createObjectURL(picture);
  show('photo');
  try {
    await photo.decode();
  } catch {
    show(null);
  }
  try {
    shown = await ask('look', picture);
  } catch (error) {
    tell('message', error.message, true);
  }
  drawFaces();
}

// ── what was found ──────────────────────────────────────────────────────────────────────────────

function drawBoxes() {
  const context = boxes.getContext('2d');
  const ratio = devicePixelRatio || 1;
  [boxes.width, boxes.height] = [stage.clientWidth * ratio, stage.clientHeight * ratio];
  context.clearRect(0, 0, boxes.width, boxes.height);
  if (!shown) return;
  const colours = getComputedStyle(root);
  const scale = Math.min(boxes.width / shown.width, boxes.height / shown.height);
  const [left, top] = [(boxes.width - shown.width * scale) / 2, (boxes.height - shown.height * scale) / 2];
  context.lineWidth = 3 * ratio;
  context.font = `600 ${16 * ratio}px system-ui, sans-serif`;
  for (const face of shown.faces) {
    const [x, y, w, h] = face.box;
    const across = running ? shown.width - x - w : x; // the camera is shown as a mirror
    const colour = colours.getPropertyValue(face.name === null ? '--unknown' : '--known').trim();
    context.strokeStyle = colour;
    context.strokeRect(left + across * scale, top + y * scale, w * scale, h * scale);
    const text = face.name === null ? say('unknown') : String(face.name);
    const wide = context.measureText(text).width + 14 * ratio;
    const above = Math.max(0, top + y * scale - 26 * ratio);
    const begin = Math.min(Math.max(0, left + across * scale - 1.5 * ratio), Math.max(0, boxes.width - wide));
    context.fillStyle = colour;
    context.fillRect(begin, above, wide, 26 * ratio);
    context.fillStyle = colours.getPropertyValue('--paper').trim();
    context.fillText(text, begin + 7 * ratio, above + 18 * ratio);
  }
}

function element(tag, text = '', kind = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// Never 0 or 100: such certainty was not measured.
function likely(share) {
  const percent = Math.round(100 * share);
  return percent < 1 ? '< 1 %' : percent > 99 ? '> 99 %' : `${percent} %`;
}

function gauge(similarity, threshold, isKnown) {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  const put = (tag, kind, values) => {
    const made = document.createElementNS(space, tag);
    made.setAttribute('class', kind);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    svg.append(made);
  };
  svg.setAttribute('class', 'gauge');
  svg.setAttribute('aria-hidden', 'true');
  // Most models put everybody above 0; what matters lies round the threshold.
  const low = Math.min(0, similarity);
  const share = (value) => `${(100 * (value - low)) / (1 - low)}%`;
  put('rect', 'rail', { x: 0, y: 7, width: '100%', height: 12, rx: 6 });
  put('rect', isKnown ? 'fill known' : 'fill', { x: 0, y: 7, width: share(similarity), height: 12, rx: 6 });
  put('line', 'mark', { x1: share(threshold), x2: share(threshold), y1: 2, y2: 24 });
  return svg;
}

function card(face) {
  const made = element('li', '', 'card');
  const shots = element('div', '', 'shots');
  const crop = element('img');
  crop.src = face.face;
  crop.alt = '';
  shots.append(crop);
  const side = element('div');
  const isKnown = face.name !== null;
  side.append(element('p', isKnown ? String(face.name) : say('unknown'), `who ${isKnown ? 'known' : 'unknown'}`));
  if (face.candidate === null) {
    side.append(element('p', say('nobody_yet'), 'quiet'));
  } else {
    const name = String(face.candidate);
    if (!isKnown) side.append(element('p', say('nearest', { name })));
    side.append(gauge(face.similarity, shown.threshold, isKnown));
    side.append(element('p', say('numbers', { similarity: face.similarity.toFixed(3), threshold: shown.threshold.toFixed(3) }), 'numbers'));
    side.append(element('p', say('chance', { percent: likely(face.probability), name }), 'quiet'));
    const button = element('button', say('why'));
    button.type = 'button';
    button.addEventListener('click', () => explain(face));
    side.append(button);
  }
  if (face.quality !== null) side.append(element('p', say('quality', { percent: Math.round(100 * face.quality) }), 'quiet'));
  made.append(shots, side);
  return made;
}

function drawFaces() {
  drawBoxes();
  const faces = shown ? shown.faces : [];
  at('nobody').hidden = faces.length > 0 || asking !== null;
  const cards = faces.map(card);
  if (asking) {
    const made = element('li', '', 'card why');
    const shots = element('div', '', 'shots');
    for (const source of [asking.face, asking.url]) {
      const picture = element('img');
      picture.src = source;
      picture.alt = '';
      shots.append(picture);
    }
    made.append(shots, element('p', say('why_text', { name: asking.name }), 'quiet'));
    cards.push(made);
  }
  at('faces').replaceChildren(...cards);
}

async function explain(face) {
  try {
    const bytes = Uint8Array.from(atob(face.face.split(',')[1]), (letter) => letter.charCodeAt(0));
    const aligned = new Blob([bytes], { type: 'image/png' });
    const picture = await ask(`explain?name=${named(face.candidate)}`, aligned);
    if (asking) URL.revokeObjectURL(asking.url);
    asking = { url: URL.createObjectURL(picture), face: face.face, name: String(face.candidate) };
    tell('message', '');
  } catch (error) {
    tell('message', error.message, true);
  }
  drawFaces();
}

// ── known people ────────────────────────────────────────────────────────────────────────────────

async function refreshPeople() {
  known = await ask('people');
  drawPeople();
}

function drawPeople() {
  at('no-people').hidden = known.length > 0;
  const rows = known.slice(0, LISTED).map(({ name, templates }) => {
    const made = element('li');
    const who = element('span', '', 'who');
    who.append(element('b', String(name)), ' ', element('small', say('templates', { n: templates })));
    const button = element('button', say('forget'));
    button.type = 'button';
    button.addEventListener('click', () => forget(name));
    made.append(who, button);
    return made;
  });
  if (known.length > LISTED) rows.push(element('li', say('more', { n: known.length - LISTED }), 'quiet'));
  at('people').replaceChildren(...rows);
}

async function forget(name) {
  try {
    const told = await ask(`forget?name=${named(name)}`, '');
    tell('enrolled', say(told.in_training ? 'forgotten_trained' : 'forgotten', { name: String(name) }));
  } catch (error) {
    tell('enrolled', error.message, true);
  }
  asking = null;
  shown = running ? shown : null;
  drawFaces();
  await refreshPeople();
}

// Enrols pictures one after the other; one that cannot be used does not stop the others.
async function enrol(pictures) {
  const name = at('name').value.trim();
  if (!name) {
    tell('enrolled', say('name_first'), true);
    at('name').focus();
    return;
  }
  let [added, bad, why] = [0, 0, ''];
  for await (const picture of pictures) {
    try {
      added += (await ask(`enrol?name=${named(name)}`, picture)).added;
    } catch (error) {
      bad += 1;
      why = error.message;
    }
  }
  tell('enrolled', say(bad ? 'enrolled_some' : 'enrolled', { name, n: added, bad, why }), !added);
  if (added) at('name').value = '';
  await refreshPeople();
}

async function* frames() {
  for (let k = 1; k <= SHOTS; k++) {
    tell('enrolled', say('hold', { k, n: SHOTS }));
    await new Promise((done) => setTimeout(done, 400));
    yield frame();
  }
}

async function* uploads(files) {
  for (const file of files) yield upload(file);
}

at('enrol').addEventListener('submit', async (event) => {
  event.preventDefault();
  at('take').disabled = true;
  await enrol(frames());
  at('take').disabled = !running;
});

// ── dropping and choosing ───────────────────────────────────────────────────────────────────────

function droppable(place, take) {
  place.addEventListener('dragover', (event) => {
    event.preventDefault();
    place.classList.add('over');
  });
  place.addEventListener('dragleave', () => place.classList.remove('over'));
  place.addEventListener('drop', (event) => {
    event.preventDefault();
    place.classList.remove('over');
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
}

// A picture dropped beside its place would otherwise replace the page.
for (const kind of ['dragover', 'drop']) addEventListener(kind, (event) => event.preventDefault());
droppable(stage, (files) => lookAt(files[0]));
droppable(at('enrol'), (files) => enrol(uploads(files)));
at('choose').addEventListener('change', (event) => {
  if (event.target.files.length) lookAt(event.target.files[0]);
  event.target.value = '';
});
at('pictures').addEventListener('change', async (event) => {
  const files = [...event.target.files];
  if (files.length) await enrol(uploads(files));
  event.target.value = '';
});

// ── what to know about the model ────────────────────────────────────────────────────────────────

function drawAbout() {
  if (!facts) return;
  const chosen = facts.calibration;
  at('about-model').textContent = say('model', { model: facts.model, source: facts.source[root.lang], n: facts.parameters.toLocaleString('en') });
  const measured = chosen.source.startsWith('given') && chosen.named !== null;
  at('about-rates').textContent = say(measured ? 'rates' : 'thumb', {
    threshold: facts.threshold.toFixed(3), images: chosen.images, people: chosen.people,
    named: (100 * (chosen.named ?? 0)).toFixed(1), missed: (100 * (chosen.missed ?? 0)).toFixed(1),
  }) + (measured && chosen.source !== 'given images' ? ` (${chosen.source})` : '');
  at('about-better').hidden = facts.parameters > 0;
  at('kept-memory').hidden = facts.gallery !== null;
  at('kept-file').hidden = facts.gallery === null;
  at('kept-file').textContent = say(facts.encrypted ? 'in_sealed' : 'in_file', { file: facts.gallery });
}

async function begin() {
  setTheme(null);
  setLanguage((navigator.language || '').startsWith('zh') ? 'zh' : 'en');
  at('switch-language').addEventListener('click', () => setLanguage(root.lang === 'zh' ? 'en' : 'zh'));
  at('switch-theme').addEventListener('click', () => {
    const dark = theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    setTheme(dark ? 'light' : 'dark');
  });
  at('camera').addEventListener('click', start);
  at('stop').addEventListener('click', stop);
  addEventListener('resize', drawBoxes);
  try {
    facts = await ask('about');
    await refreshPeople();
    drawAbout();
  } catch (error) {
    tell('message', error.message, true);
  }
}

begin();
