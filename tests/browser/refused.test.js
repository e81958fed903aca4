/** What a page says when a proxy that is not set up for it stands before the real program (R54, N20): its sentence names the remedy. */
import http from 'node:http';
import { siteTest } from './lib/site.js';
import { useBrowser } from './lib/chromium.js';

useBrowser();
const FILES = {
  'lua/main.lua': `
    App = session:prototype("App", { name = "North" })
    session:createAppVariable(session:create(App, {}))
  `,
  'viewdefs/App.DEFAULT.html': '<template><b ui-value="name"></b></template>',
};

/**
 * A proxy that forwards requests and no upgrades, as most do that are told nothing of them.
 * @param {number} port @param {(headers: Record<string, any>) => void} change what it does to headers
 */
async function forward(port, change) {
  const pass = (request, response) => {
    const headers = { ...request.headers, connection: 'close' };
    delete headers.upgrade;
    change(headers);
    const ask = http.request({ host: '127.0.0.1', port, path: request.url, method: request.method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    ask.on('error', () => response.destroy());
    request.pipe(ask);
  };
  const server = http.createServer(pass);
  server.on('upgrade', (request, socket) => {
    const response = new http.ServerResponse(request);
    response.assignSocket(socket);
    response.on('finish', () => socket.end());
    socket.on('error', () => {});
    pass(request, response);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { server, origin: `http://127.0.0.1:${server.address().port}` };
}

async function says({ site, page }, change, sentence) {
  const { server, origin } = await forward(site.port, change);
  try {
    await page.goto(`${origin}/`);
    await page.locator('#ui-notice', { hasText: sentence }).waitFor();
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

siteTest('R54: a proxy that passes no WebSockets on', FILES, (fixture) =>
  says(fixture, () => {}, /no WebSocket comes through.*Upgrade.*Trying again/));

siteTest('R54, Q3: a proxy that changes Host and does not say so', FILES, (fixture) => {
  const change = (headers) => Object.assign(headers, { host: `127.0.0.1:${fixture.site.port}` });
  return says(fixture, change, /--allow-origin http:\/\/127\.0\.0\.1:\d+.*Trying again/);
});
