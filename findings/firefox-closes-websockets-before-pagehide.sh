#!/usr/bin/env bash
# Firefox takes a page's WebSockets down before the page hears `pagehide`: what is sent there is lost without an error.
#
# Version: Debian's firefox-esr 153.8.0esr-1~deb12u1 (amd64), driven by puppeteer-core 24.43.0; ws 8.18.3 listens.
# A page that is left hears `beforeunload` and then `pagehide`, which is where pages are told to save what is unsaved, since browsers on phones send
# nothing else for certain. A socket that was open until then sends from both in Chromium 156 ("beforeunload 1,pagehide 1"). In Firefox its state in
# `pagehide` is CLOSED, send() raises nothing, and only what `beforeunload` has sent arrives. So a page that writes through a WebSocket has to do it
# in both.
# Output seen on 2026-11-30: "arrived: beforeunload; state in pagehide: 3".
#
# Exits 0 while this is so, 1 when it has changed, 2 when it could not be tried. Needs apt-get, npm, node 20, and the libraries that Firefox needs.
set -u
firefox=153.8.0esr-1~deb12u1
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 2

apt-get download -qq "firefox-esr=$firefox" >/dev/null 2>&1 || { echo "firefox-esr $firefox is not to be had here"; exit 2; }
dpkg -x ./firefox-esr_*.deb root || exit 2
npm install --silent --no-audit --no-fund --no-save puppeteer-core@24.43.0 ws@8.18.3 >/dev/null 2>&1 || { echo 'the packages of npm are not to be had here'; exit 2; }

cat >leave.mjs <<'JS'
import http from 'node:http';
import puppeteer from 'puppeteer-core';
import { WebSocketServer } from 'ws';

const page = (script) => `<!doctype html><title>first</title><script>${script}</script>`;
const first = page(`
  const socket = new WebSocket(location.origin.replace('http', 'ws'));
  socket.onopen = () => { document.title = 'open'; };
  addEventListener('beforeunload', () => socket.send('beforeunload'));
  addEventListener('pagehide', () => {
    sessionStorage.state = socket.readyState;
    socket.send('pagehide');
  });`);
const second = page('document.title = sessionStorage.state');

const arrived = [];
const server = http.createServer((request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(request.url === '/' ? first : second));
const ended = new Promise((done) => {
  new WebSocketServer({ server }).on('connection', (socket) => {
    socket.on('message', (data) => arrived.push(String(data)));
    socket.on('close', done);
  });
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await puppeteer.launch({ browser: 'firefox', executablePath: process.argv[2], headless: true });
const tab = await browser.newPage();
await tab.goto(`${origin}/`);
await tab.waitForFunction(() => document.title === 'open');
await tab.goto(`${origin}/second`);
await ended;
console.log(`arrived: ${arrived.join()}; state in pagehide: ${await tab.title()}`);
await browser.close();
process.exit(0);
JS
seen=$(HOME=$folder timeout 60 node leave.mjs "$folder/root/usr/lib/firefox-esr/firefox-esr") || { echo 'Firefox could not be driven here'; exit 2; }
echo "$seen"
[ "$seen" = 'arrived: beforeunload; state in pagehide: 3' ]
