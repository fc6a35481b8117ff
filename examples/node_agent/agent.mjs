// An agent in a process of its own: node agent.mjs 127.0.0.1:50061
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const here = fileURLToPath(new URL('.', import.meta.url));
const contracts = loadSync('greenroom/v1/agent.proto', { includeDirs: [`${here}../../proto`, here], defaults: true });
const { AgentService, ToolService } = grpc.loadPackageDefinition(contracts).greenroom.v1;
const hosts = {};

// Calls a tool of the host's, as part of the turn.
function callTool({ toolService, turnToken }, name, args) {
  hosts[toolService] ??= new ToolService(toolService, grpc.credentials.createInsecure());
  const call = { name, argumentsJson: JSON.stringify(args), turnToken };
  return new Promise((resolve, reject) => {
    hosts[toolService].InvokeTool(call, (error, answer) => (error ? reject(error) : resolve(answer.call)));
  });
}

async function reply({ messages, hosted }, say) {
  const state = JSON.parse(hosted.stateJson);
  const order = messages.at(-1).content.match(/#(\d+)/)?.[1] ?? state.order;
  if (!order) {
    say('Which order is it about?');
    return { state };
  }
  say(`Order #${order}: `);
  const call = await callTool(hosted, 'get_order', { order_id: order });
  say(call.ok ? `it is ${JSON.parse(call.resultJson).status}.` : 'I cannot find it.');
  return { confidence: call.ok ? 0.9 : 0.3, state: { order } };
}

function StreamTurn(call) {
  let text = '';
  const say = (more) => {
    text += more;
    call.write({ textDelta: more });
  };
  reply(call.request.turn, say).then(
    ({ state, ...rest }) => {
      call.write({ completed: { text, ...rest }, hosted: { stateJson: JSON.stringify(state) } });
      call.end();
    },
    (error) => call.destroy(error),
  );
}

const server = new grpc.Server();
server.addService(AgentService.service, { StreamTurn });
server.bindAsync(process.argv[2], grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`listening on port ${port}`);
});
