"""imdb-chat: plain-language questions to the lakehouse. An LLM plans, the MCP server does the work.

client        the MCP server as this program sees it: started over stdio, or reached at a URL
model         chat completions with tools, by OpenAI, Azure OpenAI or whoever speaks like them
transcript    what the model is told of one question, and what is dropped when that is too much
turn          one question: plan → tool calls → answer, capped in rounds, tokens, time and money
store/        conversations and operations: SQLite, Azure Cosmos DB
session       what was asked in one process, what came of it and what it cost
show · export · lines    on a terminal, in a file, from a keyboard
repl          question after question
cli           ask · REPL · serve
"""
