/** What scripts of pages and templates use: `window.uiApp` and `window.uiStore` (F221 to F227). */
import { connection } from './connection.js';
import { flush, idle, duringFrame } from './queue.js';
import * as variables from './store.js';
import { findKey, keys, viewdef } from './viewdefs.js';
import { countWidgets, findWidget } from './widget.js';
import { findView } from './view.js';
import { pagePath } from './session.js';
import { revealing, settle } from './reveal.js';

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
