// Asks a server the questions of test_clients.py through the first line of the TypeScript SDK, and prints the answers.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { answerQuestions } from './questions.mjs';

const { server, questions } = JSON.parse(process.argv.at(-1));
const client = new Client({ name: 'tests', version: '1' });
await client.connect(
  server.url ? new StreamableHTTPClientTransport(new URL(server.url)) : new StdioClientTransport(server),
);
const call = (params, options) => client.callTool(params, undefined, options);
console.log(JSON.stringify(await answerQuestions(client, call, questions)));
await client.close();
