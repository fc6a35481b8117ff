// The official Node client, of any line, against the talker. Prints what it saw, by the name of what was done.
import OpenAI, { APIError } from "openai";

const [url, prefix] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const completions = client.chat.completions;
const helper = completions.stream ? completions : client.beta.chat.completions;
const said = {};

function asked(session, text) {
  return { model: "talker", messages: [{ role: "user", content: text }], session_id: `${prefix}-${session}` };
}

async function chunksOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

said.whole = await completions.create(asked("whole", "one count two count"));

const usage = { stream: true, stream_options: { include_usage: true } };
said.chunks = await chunksOf(await completions.create({ ...asked("parts", "one count two count"), ...usage }));

const helped = helper.stream(asked("helped", "one count two count"));
said.told = { content: "", calls: [] };
helped.on("content", (delta) => (said.told.content += delta));
helped.on("tool_calls.function.arguments.done", (call) => said.told.calls.push(call));
said.folded = await helped.finalChatCompletion();

said.ran = [];
for (const stream of [false, true]) {
  for (const trace of ["message", "metadata"]) {
    const session = `run-${stream}-${trace}`;
    let ran = 0;
    const tools = [{ type: "function", function: { name: "count", parameters: { type: "object" }, function: () => `${++ran}` } }];
    const runner = helper.runTools({ ...asked(session, "one count"), stream, tools }, { headers: { "X-Tool-Trace": trace } });
    said.ran.push({ session, trace, content: await runner.finalContent(), ran });
  }
}

const history = [];
said.conversation = [];
for (let turn = 0; turn < 3; turn++) {
  history.push({ role: "user", content: "count" });
  const reply = await completions.create({ model: "talker", messages: history });
  history.push(reply.choices[0].message);
  said.conversation.push([reply.session_id, reply.choices[0].message.content, reply.metadata.history]);
}

said.errors = [];
for (const request of [asked("refused", ""), asked("early", "fail"), asked("late", "one two fail")]) {
  let text = "";
  try {
    if (request.messages[0].content === "") request.messages = [];
    for await (const chunk of await completions.create({ ...request, stream: true })) text += chunk.choices[0].delta.content ?? "";
  } catch (error) {
    said.errors.push([error instanceof APIError, error.status ?? null, error.code, text]);
  }
}

console.log(JSON.stringify(said));
