/** The small notice of a page without connection (F212). Sites restyle it by `#ui-notice`, or hide it. */

const STYLE = `
#ui-notice { position: fixed; z-index: 2147483000; left: 50%; bottom: 1rem; transform: translateX(-50%); max-width: 90vw; padding: .55em 1em;
  border-radius: .6em; background: #24292f; color: #fff; font: 14px/1.4 system-ui, sans-serif; box-shadow: 0 4px 18px #0005 }
#ui-notice button { margin-left: 1em; padding: .25em .8em; border: 0; border-radius: .4em; background: #fff; color: #24292f; font: inherit; cursor: pointer }`;

function find() {
  return document.getElementById('ui-notice');
}

/** Shows a text, or nothing. @param {string} text @param {HTMLElement[]} controls */
export function showNotice(text, ...controls) {
  document.documentElement.classList.toggle('ui-disconnected', !!text);
  if (!text) return find()?.remove();
  if (!document.getElementById('ui-notice-style')) {
    const style = Object.assign(document.createElement('style'), { id: 'ui-notice-style', textContent: STYLE });
    document.head.prepend(style); // first, so that a site's own rules win
  }
  const notice = find() ?? Object.assign(document.createElement('div'), { id: 'ui-notice' });
  notice.setAttribute('role', 'status');
  if (notice.textContent !== text || controls.length) notice.replaceChildren(text, ...controls);
  document.body.append(notice);
}
