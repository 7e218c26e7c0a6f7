"""AI functions: files in `prompts/` that are applied to facts from the lake, by server and load alike.

The package is not named `ai`: a distribution on PyPI installs a package of that name.

functions   what a function is: read from its file
tokens      counts what a prompt takes
providers   OpenAI, Azure OpenAI and servers that speak like it
calls       one call with its retries; needs neither ledger nor cache
ledger      who may spend what: reserve before a call, settle after it
            ledger_file: the SQLite below it · alerts: who is told when a budget is being used up
cache       answers that were paid for once, in a Delta table
flights     what is being paid for now is not paid for twice
job         one run: what is asked, what is reserved, what came of it
service     all of it together: the only way to spend
"""
