"""AI functions: files in `prompts/` that are applied to facts from the lake, by server and load alike.

functions   what a function is: read from its file
tokens      counts what a prompt takes
providers   OpenAI, Azure OpenAI and servers that speak like it
calls       one call with its retries; needs neither ledger nor cache
ledger      who may spend what: reserve before a call, settle after it
cache       answers that were paid for once, in a Delta table
service     all of it together: the only way to spend
"""
