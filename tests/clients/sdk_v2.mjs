// Asks a server the questions of test_clients.py through the second line of the TypeScript SDK, and prints the answers.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { answerQuestions } from './questions.mjs';

const { server, questions } = JSON.parse(process.argv.at(-1));
const client = new Client({ name: 'tests', version: '1' }, { versionNegotiation: { mode: 'auto' } });
await client.connect(
  server.url ? new StreamableHTTPClientTransport(new URL(server.url)) : new StdioClientTransport(server),
);
const call = (params, options) => client.callTool(params, options);
const protocol = client.getNegotiatedProtocolVersion();
console.log(JSON.stringify({ ...(await answerQuestions(client, call, questions)), protocol }));
await client.close();
