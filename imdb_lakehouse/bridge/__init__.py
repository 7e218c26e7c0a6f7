"""imdb-chat: plain-language questions to the lakehouse. A model plans, the MCP server runs the SQL.

client        connection to the MCP server, started over stdio or reached at a URL
model         chat completions with tools: OpenAI, Azure OpenAI or a compatible API
transcript    messages that the model reads for one question, shortened to fit its context
turn          one question: plan → tool calls → answer, capped in rounds, tokens, time and money
views         steps and results as JSON
answering     runs one request of a visitor and tracks its progress
operations    requests in progress: stored, polled, cancelled, interrupted
store/        conversations and operations in SQLite or Azure Cosmos DB
api/          REST API and page
session       questions, results and costs of one process
show · export · lines    terminal output, file export, keyboard input
repl          interactive loop
serve         web server
cli           ask · REPL · serve
"""
