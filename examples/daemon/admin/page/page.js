'use strict';
// Everything that is shown is set as text: nothing from outside becomes markup.
(() => {
  const EVERY = 5000, PATIENCE = 10000;
  const byId = (id) => document.getElementById(id);
  let lastGood = null, timer = 0, busy = false, asked = null;

  const make = (name, text, kind) => {
    const node = document.createElement(name);
    if (text !== undefined && text !== null) node.textContent = String(text);
    if (kind) node.className = kind;
    return node;
  };
  const none = '–';

  // ---- how values are written
  const count = (n) => Math.trunc(n).toString().replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
  const rate = (n) => n >= 100 ? count(Math.round(n)) : n.toFixed(n >= 10 || n === 0 ? 0 : 1);
  const bytes = (n) => {
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    let place = 0;
    while (n >= 1000 && place < units.length - 1) { n /= 1000; place += 1; }
    return (place === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + '\u00a0' + units[place];
  };
  const age = (s) => {
    s = Math.max(0, Math.round(s));
    if (s < 60) return s + '\u00a0s';
    if (s < 3600) return Math.round(s / 60) + '\u00a0min';
    if (s < 172800) return (s / 3600).toFixed(s % 3600 ? 1 : 0) + '\u00a0h';
    return Math.floor(s / 86400) + '\u00a0days';
  };
  const since = (at, now) => at ? age((Date.parse(now) - Date.parse(at)) / 1000) + '\u00a0ago' : none;
  const time = (at) => at ? new Date(at).toISOString().slice(0, 19).replace('T', ' ') + ' UTC' : none;
  const write = { count, rate, bytes, age, atmost: (s) => '≤ ' + age(s) };
  const pick = (from, path) => path.split('.').reduce((v, key) => v === null || v === undefined ? v : v[key], from);

  // ---- parts
  const table = (heads, rows, kinds) => {
    const whole = make('table'), head = make('thead'), line = make('tr'), body = make('tbody');
    heads.forEach((h, i) => { const th = make('th', h, kinds[i] === 'number' ? 'number' : ''); th.scope = 'col'; line.append(th); });
    head.append(line);
    for (const row of rows) {
      const tr = make('tr');
      row.forEach((cell, i) => {
        const td = make('td', undefined, kinds[i]);
        td.dataset.head = heads[i];
        if (cell === none || cell === null || cell === undefined) td.classList.add('empty');
        td.append(cell instanceof Node ? cell : make('span', cell === null || cell === undefined ? none : cell, kinds[i] && kinds[i].includes('foreign') ? 'foreign' : ''));
        tr.append(td);
      });
      body.append(tr);
    }
    whole.append(head, body);
    return whole;
  };
  const show = (id, node) => byId(id).replaceChildren(node);
  const words = (text) => make('p', text, 'quiet');
  const badge = (text, kind) => make('span', text, 'badge ' + kind);
  const alarm = (id, text) => { const node = byId(id); node.hidden = !text; node.textContent = text || ''; };
  const plain = (name) => String(name).replaceAll('_', ' ');

  const drawDelivery = (s) => {
    const kind = { closed: 'good', half_open: 'warn', open: 'bad' };
    const rows = s.delivery.map((d) => {
      const state = make('span');
      state.append(badge(plain(d.breaker), kind[d.breaker] || 'warn'));
      if (d.closed_for) state.append(' for ' + age(d.closed_for));
      if (d.why) { state.append(make('br'), make('span', d.why, 'foreign small')); }
      const to = make('span');
      to.append(make('span', d.name, 'foreign'), make('br'), make('span', d.endpoint, 'foreign quiet'));
      return [to, state, d.in_flight + ' of ' + d.concurrency_limit, count(d.waiting), count(d.breaker_opens), count(d.throttled)];
    });
    show('delivery', rows.length ? table(['endpoint', 'breaker', 'requests', 'waiting', 'times open', 'slowed'], rows, ['', '', 'number', 'number', 'number', 'number']) : words('No endpoint.'));
  };

  const drawSources = (s) => {
    const kind = { running: 'good', failing: 'bad', ended: 'warn', paused: 'warn' };
    const rows = s.sources.map((f) => {
      let error = none;
      if (f.last_error) (error = make('span')).append(make('span', f.last_error.message, 'foreign small'), ' ', make('span', '(' + since(f.last_error.at, s.now) + ')', 'quiet'));
      const q = f.queue, depth = q ? count(q.waiting) + ' wait, ' + count(q.in_flight) + ' taken' + (q.delayed ? ', ' + count(q.delayed) + ' delayed' : '') : none;
      return [f.name, f.kind, badge(plain(f.state), kind[f.state] || ''), since(f.last_heard, s.now), depth, error];
    });
    show('sources', rows.length ? table(['source', 'kind', 'state', 'heard', 'queue', 'last error'], rows, ['foreign', '', '', '', '', '']) : words('No source.'));
  };

  const drawQuarantine = (s) => {
    const q = s.quarantine, may = s.redrive.allowed && !s.redrive.running_since;
    alarm('quarantine-error', q.error && 'The quarantine cannot be read: ' + q.error);
    const rows = q.groups.map((g) => {
      const last = make('span'), button = make('button', 'Send again …');
      last.append(make('span', g.object, 'foreign small'), make('br'), make('span', g.detail, 'foreign quiet'));
      button.type = 'button';
      button.dataset.reason = g.reason;
      button.disabled = !may || !g.redrivable;
      button.setAttribute('aria-label', 'Send entries again that are ' + plain(g.reason));
      return [plain(g.reason), count(g.entries), since(g.first, s.now), since(g.last, s.now), last, g.redrivable ? button : make('span', 'is not sent again', 'quiet')];
    });
    if (!(q.error && rows.length === 0)) {
      show('quarantine', rows.length ? table(['reason', 'entries', 'first', 'last', 'the last one', ''], rows, ['foreign', 'number', '', '', '', 'action']) : words('Nothing is in quarantine.'));
    }
    const all = byId('redrive-all');
    all.disabled = !may || !q.groups.some((g) => g.redrivable);
    all.hidden = rows.length === 0;
    const last = s.redrive.last;
    let said = '';
    if (!s.redrive.allowed) said = 'Sending again needs an admin token, and none is configured.';
    else if (s.redrive.running_since) said = 'Being sent again since ' + time(s.redrive.running_since) + ' …';
    else if (last && last.error) said = 'The last redrive failed ' + since(last.ended, s.now) + ': ' + last.error;
    else if (last && last.redriven) said = 'Last redrive ' + since(last.ended, s.now) + ': ' + result(last.redriven);
    if (byId('redrive-state').textContent !== said) byId('redrive-state').textContent = said;
  };
  const result = (r) => count(r.taken) + ' taken up, ' + count(r.accepted) + ' accepted, ' + count(r.remaining) + ' remain' + (r.note ? '; ' + r.note : '');

  const drawTokens = (s) => {
    const kind = { none: 'good', unknown: '', month: 'warn', week: 'bad', day: 'bad', expired: 'bad' };
    const rows = s.tokens.map((t) => {
      const left = t.expires ? (t.days_left < 0 || t.warning === 'expired' ? 'expired' : t.days_left + ' days left') : 'expiry unknown';
      const state = make('span');
      state.append(badge(left, kind[t.warning] || ''));
      if (t.refused) state.append(' ', badge('refused', 'bad'));
      return [t.name, t.from, state, time(t.expires)];
    });
    show('tokens', rows.length ? table(['token', 'from', 'state', 'expires'], rows, ['foreign', 'foreign', '', '']) : words('No token.'));
    const l = s.ledger, row = make('p');
    row.append('Ledger: ', make('span', l.kind, 'foreign'), ' ');
    if (l.kind !== 'none') row.append(badge(l.works ? 'works' : 'fails', l.works ? 'good' : 'bad'));
    if (l.finished !== null) row.append(' ' + count(l.finished) + ' files finished, ' + count(l.in_progress || 0) + ' in progress');
    if (l.last_error) row.append(make('br'), make('span', l.last_error, 'foreign small'));
    show('ledger', row);
  };

  const drawLastSeen = (s) => {
    const rows = s.last_seen.rows.map((r) => [r.account, r.region, since(r.event, s.now), since(r.finished, s.now)]);
    byId('last-seen-cut').textContent = s.last_seen.known > rows.length ? '; ' + count(rows.length) + ' are shown' : '';
    show('last-seen', rows.length ? table(['account', 'region', 'last event', 'last file'], rows, ['foreign', 'foreign', '', '']) : words('Nothing was delivered yet.'));
  };

  const draw = (s) => {
    for (const node of document.querySelectorAll('[data-path]')) {
      const value = pick(s, node.dataset.path), as = node.dataset.as;
      // A quantile that is absent although there are records lies beyond the last bucket.
      const beyond = as === 'atmost' && s.freshness.records > 0 ? '> 30\u00a0days' : none;
      node.textContent = value === null || value === undefined ? beyond : as ? write[as](value) : String(value);
    }
    const state = byId('state');
    state.textContent = s.ready ? 'ready' : 'not ready';
    state.className = 'badge ' + (s.ready ? 'good' : 'bad');
    const reasons = byId('reasons');
    reasons.hidden = s.not_ready.length === 0;
    reasons.replaceChildren(...s.not_ready.map((r) => make('li', r, 'foreign')));
    byId('uptime').textContent = age((Date.parse(s.now) - Date.parse(s.since)) / 1000);
    byId('as-of').textContent = new Date(s.now).toISOString().slice(11, 19) + ' UTC';
    const balanced = byId('balanced');
    balanced.textContent = s.balanced ? 'balanced' : 'not balanced';
    balanced.className = 'badge ' + (s.balanced ? 'good' : 'bad');
    drawDelivery(s); drawSources(s); drawQuarantine(s); drawTokens(s); drawLastSeen(s);
    document.title = (s.ready ? '' : '(!) ') + 'ctforward';
  };

  // ---- reading
  const ask = async (path, how) => {
    const stop = new AbortController(), late = setTimeout(() => stop.abort(), how.patience || PATIENCE);
    try {
      // Of the origin: a page that was opened with a login in its address has one in its base.
      return await fetch(location.origin + path, { ...how, signal: stop.signal, cache: 'no-store', redirect: 'error', credentials: 'same-origin', referrerPolicy: 'no-referrer' });
    } finally { clearTimeout(late); }
  };
  const lost = (why) => {
    document.body.classList.toggle('stale', lastGood !== null);
    const from = lastGood ? 'What is below is of ' + time(lastGood) + '.' : 'Nothing is known yet.';
    alarm('lost', 'The daemon does not answer: ' + why + '. ' + from);
    const state = byId('state');
    state.textContent = 'no answer';
    state.className = 'badge bad';
    document.title = '(!) ctforward';
  };
  const read = async () => {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    try {
      const answer = await ask('/status', {});
      if (!answer.ok) throw new Error('/status says ' + answer.status);
      draw(await answer.json());
      lastGood = new Date();
      alarm('lost', '');
      document.body.classList.remove('waiting', 'stale');
    } catch (error) {
      lost(error.name === 'AbortError' ? 'nothing came within ten seconds' : error.name === 'TypeError' ? 'it cannot be reached, or its answer is not understood' : error.message);
    } finally {
      busy = false;
      timer = setTimeout(read, EVERY);
    }
  };
  document.addEventListener('visibilitychange', () => { if (document.hidden) clearTimeout(timer); else read(); });

  // ---- sending again
  const dialog = byId('ask'), field = byId('ask-token');
  const forget = () => { field.value = ''; };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-reason]');
    if (!button || button.disabled) return;
    asked = button.dataset.reason;
    byId('ask-what').textContent = asked ? 'Entries in quarantine that are: ' + plain(asked) + '.' : 'All entries in quarantine that can be sent again.';
    forget();
    alarm('ask-error', '');
    dialog.showModal();
    field.focus();
  });
  dialog.addEventListener('close', forget);
  byId('ask-no').addEventListener('click', () => dialog.close());
  byId('ask-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const token = field.value, yes = byId('ask-yes');
    forget();
    // A header holds visible ASCII only.
    if (!/^[\x21-\x7e]+$/.test(token)) { alarm('ask-error', 'That is no token.'); return; }
    yes.disabled = true;
    alarm('ask-error', '');
    try {
      const answer = await ask('/redrive', {
        method: 'POST', patience: 30000,
        headers: { 'Content-Type': 'application/json', 'X-Ctforward-Admin': token },
        body: JSON.stringify(asked ? { reason: asked } : {}),
      });
      const said = await answer.json();
      if (!answer.ok) { alarm('ask-error', said.error || '/redrive says ' + answer.status); return; }
      dialog.close();
      byId('redrive-state').textContent = said.redriven ? result(said.redriven) : said.note;
    } catch (error) {
      alarm('ask-error', 'No answer: whether it was begun is shown by the page.');
    } finally {
      yes.disabled = false;
      read();
    }
  });

  read();
})();
