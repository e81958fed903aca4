/** Takes the messages of an incoming frame, in order, each on its own (F17 to F28, F57, F58). */
import { duringFrame } from './queue.js';
import { guard, report } from './report.js';
import { get, receiveDestroy, receiveError, receiveUpdate } from './store.js';
import { deliver } from './viewdefs.js';
import { viewdefsArrived } from './view.js';
import { showReloadErrors } from './overlay.js';
import { settle } from './reveal.js';

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
