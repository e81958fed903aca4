/** `?conserve=true`: one tab for a session, where another shows it already (F229, F230). */
import { showNotice } from './notice.js';

const ANSWER_MS = 150;

/** Resolves when this tab may show the session: at once, or when the user wants it here too. @param {string} session @returns {Promise<void>} */
export function claimSession(session) {
  const channel = new BroadcastChannel(`ui-session-${session}`);
  const answer = () => {
    channel.onmessage = ({ data }) => {
      if (data !== 'who') return;
      channel.postMessage('here');
      focus();
      if (document.hidden && globalThis.Notification?.permission === 'granted') new Notification(document.title, { body: 'This session is open here.' });
    };
  };
  if (new URLSearchParams(location.search).get('conserve') !== 'true') {
    answer();
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const take = () => {
      answer();
      showNotice('');
      resolve();
    };
    const timer = setTimeout(take, ANSWER_MS);
    channel.onmessage = ({ data }) => {
      if (data !== 'here') return;
      clearTimeout(timer);
      channel.onmessage = null;
      const button = Object.assign(document.createElement('button'), { textContent: 'Open here anyway', onclick: take });
      showNotice('This session is already open in another tab.', button);
      close(); // browsers allow it for tabs that scripts have opened
    };
    channel.postMessage('who');
  });
}
