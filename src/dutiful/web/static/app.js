// What the page does beyond links and forms: it stays true, takes keys, and asks in a dialog.
// Text goes into the page by the server's HTML alone; nothing here builds any.
const body = document.body, root = body.dataset.root, html = document.documentElement;
const $ = (what, where = document) => where.querySelector(what);
const $$ = (what, where = document) => [...where.querySelectorAll(what)];
html.classList.add('scripted');

const policy = window.trustedTypes
  ? trustedTypes.createPolicy('dutiful', {
      createHTML: text => text,
      createScriptURL: address => { if (address !== body.dataset.worker) throw new Error('not ours'); return address; },
    })
  : { createHTML: text => text, createScriptURL: address => address };

// ── time ────────────────────────────────────────────────────────────────────────────────────
const serverNow = Number($('#asof')?.dataset.now || 0) / 1000;
let skew = serverNow ? serverNow - Date.now() : 0;
const now = () => Date.now() + skew;

function span(ms) {
  ms = Math.abs(ms);
  if (ms < 1000) return `${Math.floor(ms)}ms`;
  const units = [['d', 864e5], ['h', 36e5], ['m', 6e4], ['s', 1e3]];
  for (let i = 0; i < 4; i++) {
    const [unit, size] = units[i];
    if (ms < size) continue;
    const many = Math.floor(ms / size), rest = ms % size;
    if (many >= 100 || i === 3) return `${many}${unit}`;
    const [next, step] = units[i + 1];
    return rest >= step ? `${many}${unit} ${Math.floor(rest / step)}${next}` : `${many}${unit}`;
  }
}
function tick() {
  for (const one of $$('time[data-kind]')) {
    if (one.dataset.kind === 'exact') continue;
    const away = now() - Date.parse(one.dateTime);
    const words = one.dataset.kind === 'age' ? span(away)
      : Math.abs(away) < 1000 ? 'just now' : away > 0 ? `${span(away)} ago` : `in ${span(away)}`;
    if (one.textContent !== words) one.textContent = words;
  }
}

// ── theme ───────────────────────────────────────────────────────────────────────────────────
const themes = ['', 'light', 'dark'];
function sayTheme() { const button = $('#theme'); if (button) button.textContent = html.dataset.theme || 'system'; }
$('#theme')?.addEventListener('click', () => {
  const next = themes[(themes.indexOf(html.dataset.theme || '') + 1) % 3];
  if (next) html.dataset.theme = next; else delete html.dataset.theme;
  document.cookie = `dutiful_theme=${next};path=${root || '/'};max-age=31536000;samesite=strict`;
  sayTheme();
});
sayTheme();

// ── dialogs ─────────────────────────────────────────────────────────────────────────────────
const dialog = $('#dialog'), part = $('#live-part');
let opener = null;
async function openDialog(link) {
  opener = link;
  const answer = await fetch(link.href, { headers: { 'X-Fragment': '1' } });
  await put(dialog, await answer.text(), 'innerHTML');
  if (!dialog.open) dialog.showModal();
  ($('input:not([type=hidden]), select, textarea, button', dialog))?.focus();
}
async function put(target, text, how) {
  await htmx.swap({ sourceElement: target, target, text, swap: how, transition: false });
}
document.addEventListener('click', event => {
  const link = event.target.closest('a[data-dialog]');
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    openDialog(link).catch(() => { location.href = link.href; });
  }
  if (event.target.closest('[data-close]') && dialog.open) { event.preventDefault(); dialog.close(); }
});
// Rows that were chosen: a form without a script, too; here it asks in the dialog.
document.addEventListener('submit', event => {
  const form = event.target;
  if (!form.matches('form[data-dialog]')) return;
  event.preventDefault();
  const address = new URL(event.submitter?.formAction || form.action);
  address.search = new URLSearchParams(new FormData(form)).toString();
  openDialog({ href: address.href, isConnected: false }).catch(() => { location.href = address.href; });
});
const picks = () => $$('input[form=chosen][name=id]', part);
function countPicks() {
  const many = $('#many');
  if (many) many.textContent = `${picks().filter(one => one.checked).length} chosen below:`;
}
document.addEventListener('change', event => { if (event.target.matches('input[form=chosen]')) countPicks(); });
document.addEventListener('dutiful:fresh', countPicks);
function pickPage() {
  const all = picks(), on = all.some(one => !one.checked);
  for (const one of all) one.checked = on;
  countPicks();
}
dialog?.addEventListener('close', () => { opener?.isConnected && opener.focus(); opener = null; freshen(); });
dialog?.addEventListener('submit', async event => {
  const form = event.target;
  if (form.method === 'dialog') return;
  event.preventDefault();
  if (form.dataset.sent) return;            // the second click; the server would not do it twice, either
  form.dataset.sent = 'yes';
  const fields = new URLSearchParams(new FormData(form, event.submitter));
  try {
    const answer = await fetch(form.action, { method: 'POST', body: fields, headers: { 'X-Fragment': '1' } });
    if (answer.redirected) {
      if (answer.url === location.href) location.reload(); else location.href = answer.url;
      return;
    }
    await put(dialog, await answer.text(), 'innerHTML');
    const shut = document.createElement('button');
    shut.textContent = 'Close';
    shut.dataset.close = '';
    dialog.append(shut);
    shut.focus();
  } catch {
    delete form.dataset.sent;               // the answer was lost: sent again, it is done once
    form.submit();
  }
});

// ── live ────────────────────────────────────────────────────────────────────────────────────
const asof = $('#asof'), clock = $('#clock'), banner = $('#notlive'), button = $('#live');
const isLive = $('main')?.dataset.screen && part;
const IDLE_MS = 30 * 60e3, LOST_MS = 15e3, POLL_MS = 3e3;
let etag = null, heard = Date.now(), shownAt = now(), touched = Date.now();
let paused = false, waiting = false, busy = false, showAll = false, version = null, trouble = '';

const idle = () => Date.now() - touched > IDLE_MS;
function held() {
  if (dialog?.open || $('#help')?.open) return true;
  const chosen = getSelection();
  if (chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode)) return true;
  const at = document.activeElement;
  return !!(at && part.contains(at) && at.matches('input:not([type=checkbox]), select, textarea'));
}
function freshen() { if (waiting) refresh(); }
async function refresh() {
  if (!isLive) return;
  if (paused || document.hidden || held() || idle()) { waiting = true; return; }
  if (busy) { waiting = true; return; }
  busy = true;
  waiting = false;
  try {
    const headers = { 'X-Fragment': '1' };
    if (etag && !showAll) headers['If-None-Match'] = etag;
    const answer = await fetch(location.href, { headers, cache: 'no-store' });
    if (answer.status === 200) {
      const text = await answer.text();
      if (held()) { waiting = true; return; }
      etag = answer.headers.get('ETag');
      if (answer.headers.get('X-Now')) skew = Number(answer.headers.get('X-Now')) / 1000 - Date.now();
      await put(part, keepNewRowsBack(text), 'innerMorph');
      if (answer.headers.get('X-Verdict')) sayVerdict(decodeURIComponent(answer.headers.get('X-Verdict')), answer.headers.get('X-Headline'));
      tick();
      document.dispatchEvent(new Event('dutiful:fresh'));
    }
    if (answer.ok || answer.status === 304) { shownAt = now(); heard = Date.now(); trouble = ''; }
    else trouble = 'the page has no answer';
  } catch { /* the watch below says it */ } finally {
    busy = false;
    showAll = false;
    look();
  }
}
// Rows that are on screen change in place; new ones wait until they are asked for.
function keepNewRowsBack(text) {
  const fresh = new DOMParser().parseFromString(policy.createHTML(text), 'text/html');
  let many = 0;
  if (!showAll && $('tr[data-hold]', part)) {
    for (const row of $$('tr[data-hold]', fresh)) {
      if (!document.getElementById(row.id)) { row.remove(); many++; }
    }
  }
  const bar = $('#newrows');
  if (bar) bar.remove();
  if (many) {
    const line = document.createElement('p'), show = document.createElement('button');
    line.id = 'newrows';
    line.className = 'newrows';
    show.textContent = `${many} new: show`;
    show.addEventListener('click', () => { showAll = true; line.remove(); refresh(); });
    line.append(show);
    part.before(line);
  }
  return fresh.body.innerHTML;
}
const COLOURS = { '✗': '%23b3261e', '✓': '%231d6b3c', '?': '%23946200' };
function sayVerdict(sign, headline) {
  const icon = $('#icon');
  if (icon) icon.href = icon.href.replace(/fill='%23[0-9a-f]{6}'/, `fill='${COLOURS[sign[0]]}'`);
  const rest = document.title.replace(/^(✗[\d,]*|\?|✓) /, '');
  if (!document.title.startsWith(`${sign} `)) {
    document.title = `${sign} ${rest}`;
    if (headline) announce(decodeURIComponent(headline));
  }
}
let announced = 0;
function announce(words) {
  if (Date.now() - announced < 30e3) return;
  announced = Date.now();
  $('#announce').textContent = words;
}
function look() {
  if (!asof || !isLive) return;
  const lost = Date.now() - heard > LOST_MS || trouble;
  const stopped = paused || idle();
  const at = new Date(shownAt).toISOString().slice(11, 19);
  clock.textContent = lost || stopped ? `${at} UTC, ${span(now() - shownAt)} ago` : `${new Date(now()).toISOString().slice(11, 19)} UTC`;
  asof.classList.toggle('on', !lost && !stopped);
  asof.classList.toggle('off', !!lost && !stopped);
  button.textContent = stopped ? 'paused: resume' : lost ? 'not live' : 'live';
  button.setAttribute('aria-pressed', String(!stopped));
  const hide = !lost || stopped;
  if (banner.hidden !== hide) {
    banner.hidden = hide;
    if (hide) { etag = null; refresh(); } else sayVerdict('?', '');
  }
  if (!hide) $('span', banner).textContent = `${at} UTC${trouble ? `: ${trouble}` : ''}`;
}
button?.addEventListener('click', () => {
  if (idle()) touched = Date.now(); else paused = !paused;
  if (!paused) { waiting = true; refresh(); }
  look();
});
for (const kind of ['pointerdown', 'keydown', 'scroll']) {
  addEventListener(kind, () => { const was = idle(); touched = Date.now(); if (was) { tune(); freshen(); } }, { passive: true });
}
document.addEventListener('selectionchange', () => setTimeout(freshen, 300));
document.addEventListener('focusout', () => setTimeout(freshen, 300));

function hear(message) {
  heard = message.kind === 'lost' ? heard : Date.now();
  trouble = message.kind === 'trouble' ? message.words : message.kind === 'lost' ? trouble : '';
  if (message.kind === 'hint' && message.version !== version) { version = message.version; refresh(); }
  look();
}
let worker = null, stream = null, poll = null;
function tune() {
  if (!isLive) return;
  const wanted = !document.hidden && !idle();
  if (body.dataset.live === 'poll') {
    if (wanted && !poll) poll = setInterval(ask, POLL_MS);
    if (!wanted && poll) { clearInterval(poll); poll = null; }
    return;
  }
  const address = `${root}/live`;
  if (window.SharedWorker && !worker) {
    try {
      worker = new SharedWorker(policy.createScriptURL(body.dataset.worker), 'dutiful');
      worker.port.onmessage = event => hear(event.data);
      worker.onerror = () => { worker = false; tune(); };
    } catch { worker = false; }
  }
  if (worker) worker.port.postMessage({ kind: wanted ? 'look' : 'leave', address: new URL(address, location.href).href });
  else if (wanted && !stream) {
    stream = new EventSource(address);
    stream.addEventListener('hint', event => hear({ kind: 'hint', version: event.data }));
    stream.addEventListener('beat', () => hear({ kind: 'beat' }));
    stream.addEventListener('trouble', event => hear({ kind: 'trouble', words: event.data }));
    stream.onerror = () => hear({ kind: 'lost' });
  } else if (!wanted && stream) { stream.close(); stream = null; }
}
let pulse = null;
async function ask() {
  if (idle()) return tune();
  try {
    const answer = await fetch(`${root}/pulse`, { headers: pulse ? { 'If-None-Match': pulse } : {}, cache: 'no-store' });
    if (answer.status === 200) { pulse = answer.headers.get('ETag'); hear({ kind: 'hint', version: pulse }); }
    else if (answer.status === 304) hear({ kind: 'beat' });
    else hear({ kind: 'trouble', words: 'the store has no answer' });
  } catch { hear({ kind: 'lost' }); }
}
document.addEventListener('visibilitychange', () => { if (!document.hidden) { heard = Date.now(); waiting = true; refresh(); } tune(); });
addEventListener('pagehide', () => { if (worker) worker.port.postMessage({ kind: 'leave' }); });
addEventListener('pageshow', event => { if (event.persisted) { heard = Date.now(); tune(); refresh(); } });

// ── keys ────────────────────────────────────────────────────────────────────────────────────
let keysOn = true, going = false;
try { keysOn = localStorage.getItem('dutiful.keys') !== 'off'; } catch { /* no storage: keys are on */ }
const keysBox = $('#keys-on');
if (keysBox) {
  keysBox.checked = keysOn;
  keysBox.addEventListener('change', () => {
    keysOn = keysBox.checked;
    try { localStorage.setItem('dutiful.keys', keysOn ? 'on' : 'off'); } catch { /* for this page alone */ }
  });
}
let here = '';                              // the row's id: what comes fresh from the server knows nothing of it
document.addEventListener('dutiful:fresh', () => { if (here) document.getElementById(here)?.classList.add('here'); });
const links = () => $$('[data-row]', part).filter(one => one.offsetParent);
function step(by) {
  const all = links();
  if (!all.length) return;
  const at = all.indexOf($('tr.here [data-row]'));
  const to = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))];
  $$('tr.here').forEach(row => row.classList.remove('here'));
  to.closest('tr')?.classList.add('here');
  here = to.closest('tr')?.id ?? '';
  to.focus();
  to.scrollIntoView({ block: 'nearest' });
}
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.matches('input:not([type=checkbox]), select, textarea') || dialog?.open || !keysOn && event.key !== '?') return;
  const key = event.key;
  if (going) {
    going = false;
    const link = $(`[data-go="${CSS.escape(key)}"]`);
    if (link) { event.preventDefault(); location.href = link.href; }
    return;
  }
  const act = letter => {
    const row = $('tr.here') || document.activeElement?.closest?.('tr');
    const link = row ? $(`[data-key="${letter}"]`, row) : $(`.bar [data-key="${letter}"]`);
    link?.click();
  };
  const doing = {
    g: () => { going = true; setTimeout(() => { going = false; }, 1500); },
    '/': () => $('#q')?.focus(),
    '?': () => $('#help')?.showModal(),
    j: () => step(1), k: () => step(-1),
    r: () => act('r'), d: () => act('d'), u: () => act('u'), a: () => act('a'), e: () => act('e'),
    f: () => $('.filters input, .filters select')?.focus(),
    p: () => button?.click(),
    ']': () => $('a[rel=next]')?.click(), '[': () => history.back(),
    X: pickPage, '*': () => $('.bar [data-key="*"]')?.click(),
    x: () => $('input[type=checkbox]', $('tr.here') || document.createElement('p'))?.click(),
  }[key];
  if (doing) { event.preventDefault(); doing(); }
});

tick();
setInterval(() => { if (!document.hidden) { tick(); look(); } }, 1000);
if (isLive) tune();
