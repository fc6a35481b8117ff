// The Vercel AI SDK with both of its providers for chat completions, against the talker. Prints one list of conversations.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as ai from "ai";

const [url, prefix] = process.argv.slice(2);
const baseURL = `${url}/v1`;
const extractor = {
  extractMetadata: async ({ parsedBody }) => ({ sandbox: parsedBody.metadata }),
  createStreamExtractor() {
    let sandbox;
    return { processChunk: (chunk) => (sandbox = chunk.metadata ?? sandbox), buildMetadata: () => ({ sandbox }) };
  },
};
const providers = {
  compatible: createOpenAICompatible({ name: "greenroom", baseURL, includeUsage: true, metadataExtractor: extractor })("talker"),
  openai: createOpenAI({ baseURL, apiKey: "none" }).chat("talker"),
};

// Three turns, each with all that was said before as the SDK keeps it.
async function converse({ provider, trace, stream, steps, own, session }) {
  let ran = 0;
  const execute = async () => ++ran;
  const tools = own ? { count: ai.tool({ inputSchema: ai.jsonSchema({ type: "object" }), execute }) } : undefined;
  const headers = { "X-Tool-Trace": trace, ...(session ? { "X-Session-Id": session } : {}) };
  const turns = [];
  const messages = [];
  const refused = [];
  for (let turn = 0; turn < 3 && refused.length === 0; turn++) {
    messages.push({ role: "user", content: "so count" });
    const asked = { model: providers[provider], messages, headers, tools, maxRetries: 0, stopWhen: ai.stepCountIs(steps) };
    const onError = ({ error }) => refused.push(error);
    try {
      const result = stream ? ai.streamText({ ...asked, onError }) : await ai.generateText(asked);
      const all = await result.steps;
      const first = all[0];
      turns.push({
        text: await result.text,
        finish: await result.finishReason,
        steps: all.length,
        tokens: (await result.totalUsage ?? await result.usage).totalTokens,
        metadata: (await result.providerMetadata)?.sandbox,
        calls: first.toolCalls.map((call) => [call.toolName, call.input, call.invalid ?? false]),
        told: first.content.map((part) => part.type),
      });
      messages.push(...((await result.responseMessages) ?? (await result.response).messages));
    } catch (error) {
      refused.push(error);
    }
  }
  return { turns, ran, refused: refused.map((error) => [error.name, error.statusCode, error.message]) };
}

const conversations = [];
for (const provider of ["compatible", "openai"])
  for (const trace of ["message", "metadata"])
    for (const stream of [false, true])
      for (const steps of [1, 4])
        for (const own of [false, true])
          for (const named of [false, true]) {
            const session = named ? `${prefix}-${conversations.length}` : "";
            const asked = { provider, trace, stream, steps, own, session };
            conversations.push({ ...asked, ...(await converse(asked)) });
          }
console.log(JSON.stringify(conversations));
