/**
 * The browser client of lsess: shows variable 1 in the element with `ui-app` and keeps it in step with the server.
 * Modules, bottom up: report, queue, store, paths, ids, kinds, scroll; widget, value, attributes, content, events, bind; namespaces, viewdefs,
 * view, list, reveal, scripts, keep, errors; session, connection, notice, overlay, frames, page, tabs. One client per page, so modules hold the state.
 */
import { duringFrame, flush, send } from './queue.js';
import { get, own, reset } from './store.js';
import { report } from './report.js';
import { openConnection } from './connection.js';
import { findSession } from './session.js';
import { showNotice } from './notice.js';
import { processFrame } from './frames.js';
import { startErrors } from './errors.js';
import { startOverlay } from './overlay.js';
import { claimSession } from './tabs.js';
import { commitAll } from './value.js';
import { View } from './view.js';
import { pageInterface, store } from './page.js';

/** Hides what is being built (F13). */
function addStyle() {
  if (document.getElementById('ui-no-flash-style')) return;
  document.head.append(Object.assign(document.createElement('style'), {
    id: 'ui-no-flash-style', textContent: '.ui-new-view { display: none !important }',
  }));
}

/** A form without a target would reload the page when Enter is pressed in it (S72). @param {View} view @param {SubmitEvent} event */
function keepPage(view, event) {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.hasAttribute('action') && form.method !== 'dialog' && view.nodes().some((node) => node.contains(form))) event.preventDefault();
}

/** @param {HTMLElement} host @param {string} session */
function show(host, session) {
  const namespace = host.getAttribute('ui-namespace');
  reset();
  const view = new View(host, 1, null);
  const uiApp = pageInterface(session, view);
  let started = false;
  const opened = () => {
    if (started) {
      reset();
      view.resync(); // the server has forgotten this page's variables (F215)
    }
    own(1, view);
    const variable = get(1);
    if (namespace && variable) variable.properties.namespace = namespace; // F138
    if (!started) {
      Object.assign(window, { uiApp, uiStore: store });
      document.dispatchEvent(new CustomEvent('ui-ready')); // S84
    }
    started = true;
    duringFrame(() => send('watch', { varId: 1 })); // the whole handshake (F45)
  };
  openConnection(session, { opened, frame: processFrame });
  addEventListener('pagehide', () => {
    commitAll(); // F37
    flush(false);
  });
  document.addEventListener('submit', (event) => keepPage(view, event));
}

async function start() {
  const host = /** @type {HTMLElement | null} */ (document.querySelector('[ui-app]'));
  if (!host) return; // no application, no connection (F1)
  const session = findSession();
  if (!session) {
    report('the page names no session, neither in its address nor in the cookie ui-session');
    return showNotice('This page belongs to no session. Open the start page to begin one.');
  }
  addStyle();
  startErrors();
  startOverlay(session);
  await claimSession(session);
  show(host, session);
}

if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => void start());
else void start(); // loaded late (F2)
