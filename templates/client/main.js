/**
 * Entry module. It answers to /main.js and /main-*.js, so its imports are relative to itself and work for pages of any depth (F11, F12, F226).
 * It names every module, so that a page without preload links need not wait for one to learn of the next.
 */
export * from './lsess-client/app.js';
import './lsess-client/attributes.js';
import './lsess-client/bind.js';
import './lsess-client/connection.js';
import './lsess-client/elements.js';
import './lsess-client/events.js';
import './lsess-client/list.js';
import './lsess-client/overlay.js';
import './lsess-client/reveal.js';
import './lsess-client/store.js';
import './lsess-client/value.js';
import './lsess-client/view.js';
import './lsess-client/viewdefs.js';
