"""The page: its modules in Node.js, its files over HTTP, and the whole of it in a real browser."""
