"use strict";
// The ticket stands behind the #, which no browser sends; it is taken out of the address at once.
const pod = location.pathname.split("/")[2];
const ask = document.getElementById("ask");
const said = document.getElementById("said");
const ticket = location.hash.slice(1);
history.replaceState(null, "", location.pathname);

function open(ticket) {
  ask.hidden = true;
  const terminal = new Terminal({ cursorBlink: true, fontSize: 14 });
  const fit = new FitAddon.FitAddon();
  terminal.loadAddon(fit);
  terminal.open(document.getElementById("screen"));
  fit.fit();
  terminal.focus();
  document.title = `Terminal of ${pod}`;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const line = new WebSocket(`${scheme}//${location.host}/terminal/${pod}/socket`, [
    "puna-terminal",
    `ticket.${ticket}`,
  ]);
  line.binaryType = "arraybuffer";
  const size = () => ({ columns: terminal.cols, rows: terminal.rows });
  const typed = (bytes) => line.readyState === WebSocket.OPEN && line.send(bytes);
  line.onopen = () => line.send(JSON.stringify(size()));
  line.onmessage = (event) =>
    terminal.write(typeof event.data === "string" ? event.data : new Uint8Array(event.data));
  line.onclose = (event) =>
    terminal.write(`\r\n[${event.reason || "the connection has ended"}] Reload the page for another.\r\n`);
  terminal.onData((text) => typed(new TextEncoder().encode(text)));
  terminal.onBinary((text) => typed(Uint8Array.from(text, (sign) => sign.charCodeAt(0))));
  terminal.onResize(() => typed(JSON.stringify(size())));
  addEventListener("resize", () => fit.fit());
}

ask.addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = document.getElementById("key");
  const reply = await fetch(`/v2/puna/pods/${pod}/terminal`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key.value}` },
    credentials: "omit",
  });
  const told = await reply.json();
  key.value = "";
  if (reply.ok) open(told.ticket);
  else said.textContent = told.detail || told.error;
});

if (ticket) open(ticket);
else ask.hidden = false;
