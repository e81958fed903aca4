/**
 * The browser client of lsess: shows variable 1 in the element with `ui-app` and keeps it in step with the server. Modules, bottom up: json, place; again; store; scroll;
 * kinds; value, keep; bind; view, list, arrival, reveal; overlay, connection; and here their start, what incoming messages mean, and what scripts of pages may use (F221 to F227).
 * The module answers to /main.js and /main-*.js, so its imports are relative to itself and work for pages of any depth (F11, F12).
 */
import { followOthers, startAgain, tellOthers } from './lsess-client/again.js';
import { startArrival } from './lsess-client/arrival.js';
import { findWidget, store } from './lsess-client/bind.js';
import { connection, openConnection, resume, suspend } from './lsess-client/connection.js';
import { dropRow } from './lsess-client/list.js';
import { addStyle, showEnd, showLoss, showLosses, showNotice, showReloadErrors, startOverlay } from './lsess-client/overlay.js';
import { BASE, findSession, pagePath, renewToken, tabToken } from './lsess-client/place.js';
import { revealing, settle } from './lsess-client/reveal.js';
import { debug, describe, duringFrame, flush, get, guard, idle, ofId, receiveDestroy, receiveError, receiveUpdate, report, reset, send, takeWritten, update } from './lsess-client/store.js';
import { commitAll, recallTexts, unsentTexts } from './lsess-client/value.js';
import { deliver, findKey, findView, keys, View, viewdef } from './lsess-client/view.js';

/** Shows variable 1, first or anew. */
let begin = () => {};

/** @param {any[]} messages */
function processFrame(messages) {
  duringFrame(() => {
    for (const message of messages) guard('a message', () => dispatch(message));
    settle();
  });
}

/** @param {any} message */
function dispatch(message) {
  const { type, data = {} } = message ?? {};
  if (type === 'update') takeUpdate(data);
  else if (type === 'destroy') receiveDestroy(data);
  else if (type === 'error' && data.code === 'gone') takeLoss(data);
  else if (type === 'error' && data.code === 'replaced' && !data.varId) {
    renewToken(); // the tab has been duplicated, and the other one has its token
    begin();
  }
  else if (type === 'error') receiveError(data);
  else if (type === undefined && message?.error) report(`the server says: ${message.error}`); // F19
}

/** An object is gone (R1): so is its row, and whoever wrote to it is told. @param {{varId: number, description: string}} data */
function takeLoss(data) {
  const { varId, description } = data;
  receiveError(data);
  const value = takeWritten(varId);
  if (value === undefined && !get(varId)) return; // of a row that has left already
  report(`${describe(varId)}: gone: ${description}`);
  if (value !== undefined) showLoss(value);
  if (ofId(varId) === undefined) dropRow(varId); // the place lies in the row's own object
}

/** @param {{varId: number, value?: any, properties?: Record<string, any>, seq?: number, of?: number | null}} data */
function takeUpdate({ properties: raw, ...data }) {
  if (!raw) return receiveUpdate(data);
  const { varId } = data;
  /** Without the hint of priority (F25). @type {Record<string, any>} */
  const properties = {};
  for (const name of Object.keys(raw)) properties[name.replace(/:(high|med|medium|low)$/i, '')] = raw[name];
  if (varId === 1) {
    const { viewdefs } = properties;
    delete properties.viewdefs; // need not be kept
    if (viewdefs) guard('viewdefs', () => deliver(viewdefs)); // before anything that needs them (F58)
  }
  receiveUpdate({ ...data, properties });
  if (varId === 1 && ('reload-error' in properties || 'reload-detail' in properties)) showReloadErrors(get(1)?.properties ?? {});
  if (varId === 1 && 'reload-losses' in properties) showLosses(properties['reload-losses']);
}

/** @param {string} session */
const placeIn = (session) => pagePath(session) + location.search + location.hash;

/** @param {string} session @param {View} appView */
function pageInterface(session, appView) {
  const tellUrl = () => update(1, undefined, { url: placeIn(session) });
  addEventListener('popstate', tellUrl); // F228
  const binding = {
    getWidget: findWidget,
    /** @param {string} elementId */
    getView(elementId) {
      const view = findView(elementId);
      const forceRender = () => duringFrame(() => {
        view?.forceRender();
        settle();
      });
      return view && { elementId, isRendered: () => view.isRendered(), forceRender };
    },
  };
  const viewdefStore = {
    /** @param {string} type @param {string} [namespace] @param {string} [fallbackNamespace] */
    get: (type, namespace, fallbackNamespace) => viewdef(findKey(type, namespace, fallbackNamespace) ?? ''),
    getKeys: keys,
  };
  return {
    /** Sends a value for the `ui-value` of an element, by default what it holds (F222). @param {string} elementId @param {any} [value] */
    updateValue(elementId, value) {
      const widget = findWidget(elementId);
      const varId = widget?.getVariableId('ui-value');
      if (widget && varId) update(varId, value === undefined ? /** @type {any} */ (widget.element).value : value);
    },
    getStore: () => store,
    getBinding: () => binding,
    getViewdefStore: () => viewdefStore,
    getConnection: () => connection,
    getAppView: () => appView,
    /** @param {string} url */
    navigateTo(url) {
      const root = BASE + session;
      const named = url.startsWith(`/${session}`);
      const bare = named || (location.pathname.startsWith(root) && /^\/(?!\/)/.test(url) && !url.startsWith(root));
      history.pushState(null, '', bare ? root + url.slice(named ? session.length + 1 : 0) : url); // below the session, so that a reload finds it
      tellUrl();
    },
    /** Resolves when nothing waits to be sent, answered or shown (S85). */
    async idle() {
      flush(true);
      while (!idle() || revealing()) await new Promise((done) => setTimeout(done, 4));
    },
  };
}

/** A form without a target would reload the page when Enter is pressed in it (S72). @param {View} view @param {SubmitEvent} event */
function keepPage(view, event) {
  const form = /** @type {HTMLFormElement} */ (event.target);
  const { submitter } = event;
  const leaves = form.hasAttribute('action') || submitter?.hasAttribute('formaction');
  const closes = (submitter?.getAttribute('formmethod') ?? form.method) === 'dialog';
  if (!leaves && !closes && view.nodes().some((node) => node.contains(form))) event.preventDefault();
}

/** @param {HTMLElement} host @param {string} session */
function show(host, session) {
  const namespace = host.getAttribute('ui-namespace');
  reset();
  const view = new View(host, 1, null);
  const uiApp = pageInterface(session, view);
  let started = false;
  begin = () => {
    if (started) {
      recallTexts();
      reset();
      view.resync(); // the server has forgotten this page's variables (F215)
      showReloadErrors({}); // what is still wrong comes with variable 1
    }
    const variable = get(1);
    if (namespace && variable) variable.properties.namespace = namespace; // F138
    if (!started) {
      Object.assign(window, { uiApp, uiStore: store });
      document.dispatchEvent(new CustomEvent('ui-ready')); // S84
    }
    started = true;
    duringFrame(() => send('watch', { varId: 1, client: { v: 1, tab: tabToken(), url: placeIn(session) } })); // the whole handshake (F45, R8)
  };
  const gone = () => {
    recallTexts();
    showEnd(() => startAgain(session), unsentTexts);
    followOthers(session, () => !unsentTexts().length);
  };
  openConnection(session, { opened: begin, frame: processFrame, gone });
  const commit = () => {
    commitAll();
    flush(false);
  };
  addEventListener('beforeunload', commit); // Firefox has no connection any more when it hides a page
  addEventListener('pagehide', () => {
    commit(); // F37
    suspend();
  });
  addEventListener('pageshow', ({ persisted }) => persisted && resume());
  document.addEventListener('submit', (event) => keepPage(view, event));
}

function start() {
  const host = /** @type {HTMLElement | null} */ (document.querySelector('[ui-app]'));
  if (!host) return; // no application, no connection (F1)
  const session = findSession();
  if (!session) {
    report('the page names no session, neither in its address nor in the cookie ui-session');
    return showNotice('This page belongs to no session. Open the start page to begin one.');
  }
  addStyle('ui-no-flash-style', '.ui-new-view { display: none !important }'); // F13
  if (debug) addStyle('ui-debug-style', '.ui-error { outline: 2px dashed #d33 }'); // S29
  tellOthers(session);
  startOverlay(session);
  startArrival();
  show(host, session);
}

if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start);
else start(); // loaded late (F2)
