// What the `openai` package hears from a server; the last line is read by test_npm.py.
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What is a hamburger?" }];
const asked = { model: "smollm2", messages, max_completion_tokens: 12, temperature: 0 };

const whole = await client.chat.completions.create(asked);
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
  streamed += chunk.choices[0]?.delta?.content ?? "";
const several = await client.chat.completions.create({ ...asked, n: 2, seed: 1 });
const completed = await client.completions.create({ model: "smollm2", prompt: "Once", max_tokens: 4 });
const brief = { model: "smollm2", input: "Say hi", max_output_tokens: 8, temperature: 0 };
const response = await client.responses.create(brief);
const events = [];
for await (const event of await client.responses.create({ ...brief, stream: true })) events.push(event.type);
const models = [];
for await (const model of client.models.list()) models.push(model.id);
let missing = "";
try {
  await client.models.retrieve("none");
} catch (error) {
  missing = `${error.status} ${error.constructor.name}`;
}
const rows = ["a", "b"].map((id) => JSON.stringify(
  { custom_id: id, method: "POST", url: "/v1/chat/completions", body: { ...asked, max_completion_tokens: 2 } }));
const file = await client.files.create({ file: await toFile(Buffer.from(rows.join("\n")), "rows.jsonl"), purpose: "batch" });
let batch = await client.batches.create(
  { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" });
while (!["completed", "failed"].includes(batch.status)) {
  await new Promise((done) => setTimeout(done, 50));
  batch = await client.batches.retrieve(batch.id);
}
const told = await (await client.files.content(batch.output_file_id)).text();
const removed = (await client.files.delete(file.id)).deleted;
console.log(JSON.stringify({
  batch: [batch.status, told.trim().split("\n").map((line) => JSON.parse(line).custom_id), removed],
  text: whole.choices[0].message.content,
  tokens: whole.usage.completion_tokens,
  streamed,
  several: several.choices.length,
  completed: completed.choices[0].finish_reason,
  response: response.output_text.length > 0,
  events: [events[0], events.at(-1)],
  models,
  missing,
}));
