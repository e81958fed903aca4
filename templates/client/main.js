/** Entry module. It answers to /main.js and /main-*.js, so its import is relative to itself and works for pages of any depth (F11, F12, F226). */
export * from './lsess-client/app.js';
