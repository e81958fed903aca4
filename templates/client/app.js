/**
 * The browser client of lsess: shows variable 1 in the element with `ui-app` and keeps it in step with the server.
 * Modules, bottom up: store, elements; value, events, attributes, bind; viewdefs, view, list, reveal; connection, overlay.
 * There is one client for each page, so modules hold the state.
 */
import * as variables from './store.js';
import { countWidgets, findWidget } from './bind.js';
import { claimSession, connection, findSession, openConnection, pagePath, showNotice } from './connection.js';
import { showReloadErrors, startErrors, startOverlay } from './overlay.js';
import { revealing, settle } from './reveal.js';
import { duringFrame, flush, get, guard, idle, own, receiveDestroy, receiveError, receiveUpdate, report, reset, send } from './store.js';
import { commitAll } from './value.js';
import { findView, View, viewdefsArrived } from './view.js';
import { deliver, findKey, keys, viewdef } from './viewdefs.js';

/** @param {any[]} messages */
export function processFrame(messages) {
  duringFrame(() => {
    for (const message of messages) guard('a message could not be processed', () => dispatch(message));
    settle();
  });
}

/** @param {any} message */
function dispatch(message) {
  const { type, data = {} } = message ?? {};
  if (type === 'update') takeUpdate(data);
  else if (type === 'destroy') receiveDestroy(data);
  else if (type === 'error') receiveError(data);
  else if (type === undefined && message?.error) report(`the server says: ${message.error}`); // F19
}

/** @param {{varId: number, value?: any, properties?: Record<string, any>}} data */
function takeUpdate(data) {
  const properties = data.properties && plainNames(data.properties);
  if (data.varId === 1 && properties) {
    const { viewdefs, ...others } = properties;
    if (viewdefs) {
      const changed = deliver(viewdefs);
      viewdefsArrived(changed); // before anything that needs them (F58)
    }
    receiveUpdate({ ...data, properties: others });
    if ('reload-error' in others || 'reload-detail' in others) showReloadErrors(get(1)?.properties ?? {});
  } else {
    receiveUpdate({ ...data, properties });
  }
}

/** Property names without the hint of priority (F25). @param {Record<string, any>} properties */
function plainNames(properties) {
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [name.replace(/:(high|med|medium|low)$/i, ''), value]));
}

/** What scripts of pages and templates use: `window.uiApp` and `window.uiStore` (F221 to F227). */

/** The variable store of page scripts and `ui-code` (F224). */
export const store = {
  get: variables.get,
  /** @param {{parentId: number, properties: Record<string, string>}} variable */
  create: ({ parentId, properties }) => variables.create(parentId, { ...properties }),
  update: variables.update,
  destroy: variables.destroy,
  watch: variables.watch,
  watchErrors: variables.watchErrors,
  getError: variables.getError,
  /** Live variables and widgets, for tests of leaks (S16). */
  count: () => ({ variables: variables.count(), widgets: countWidgets() }),
};

const binding = {
  getWidget: findWidget,
  /** @param {string} elementId */
  getView(elementId) {
    const view = findView(elementId);
    return view && {
      elementId,
      isRendered: () => view.isRendered(),
      forceRender: () => duringFrame(() => {
        view.forceRender();
        settle();
      }),
    };
  },
};

const viewdefStore = {
  /** @param {string} type @param {string} [namespace] @param {string} [fallbackNamespace] */
  get(type, namespace, fallbackNamespace) {
    const key = findKey(type, namespace, fallbackNamespace);
    return key && viewdef(key);
  },
  getKeys: keys,
};

/** @param {string} session @param {import('./view.js').View} appView */
export function pageInterface(session, appView) {
  const tellUrl = () => variables.update(1, undefined, { url: pagePath(session) + location.search + location.hash });
  addEventListener('popstate', tellUrl); // F228
  return {
    /** Sends a value for the `ui-value` of an element, by default what it holds (F222). @param {string} elementId @param {any} [value] */
    updateValue(elementId, value) {
      const widget = findWidget(elementId);
      const varId = widget?.getVariableId('ui-value');
      if (widget && varId) variables.update(varId, value === undefined ? /** @type {any} */ (widget.element).value : value);
    },
    getStore: () => store,
    getBinding: () => binding,
    getViewdefStore: () => viewdefStore,
    getConnection: () => connection,
    getAppView: () => appView,
    /** @param {string} url */
    navigateTo(url) {
      const under = location.pathname.startsWith(`/${session}`);
      const bare = under && /^\/(?!\/)/.test(url) && !url.startsWith(`/${session}`);
      history.pushState(null, '', bare ? `/${session}${url}` : url); // below the session, so that a reload finds it
      tellUrl();
    },
    /** Resolves when nothing waits to be sent, answered or shown (S85). */
    async idle() {
      flush(true);
      while (!idle() || variables.unanswered.open || revealing()) await new Promise((done) => setTimeout(done, 4));
    },
  };
}


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
      showReloadErrors({}); // what is still wrong comes with variable 1
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
