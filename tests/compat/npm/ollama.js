// What the `ollama` package hears from a server; the last line is read by test_npm.py.
import { Ollama } from "ollama";

const client = new Ollama({ host: process.argv[2] });
const options = { num_predict: 12, temperature: 0 };
const messages = [{ role: "user", content: "What is a hamburger?" }];
const asked = { model: "smollm2", messages, options };

const whole = await client.chat(asked);
let streamed = "";
for await (const part of await client.chat({ ...asked, stream: true })) streamed += part.message.content;
const generated = await client.generate({ model: "smollm2", prompt: "Once", options });
const listed = await client.list();
const shown = await client.show({ model: "smollm2" });
let missing = "";
try {
  await client.chat({ ...asked, model: "none" });
} catch (error) {
  missing = error.message;
}
let parts = 0;
const long = await client.chat({ ...asked, options: { num_predict: 5000 }, stream: true });
try {
  for await (const part of long) if (part && ++parts === 3) long.abort();
} catch (error) {
  parts = `${parts} then ${error.name}`;
}
console.log(JSON.stringify({
  text: whole.message.content,
  tokens: whole.eval_count,
  streamed,
  generated: generated.response.length > 0,
  listed: listed.models.map((model) => model.name),
  family: shown.details.family,
  missing,
  aborted: String(parts),
}));
