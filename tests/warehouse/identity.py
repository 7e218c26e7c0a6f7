"""Who hands out tokens: the workspace's OAuth, Entra ID and a machine's identity service, on loopback."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class IdentityServer:
    """Gives the tokens `token-1`, `token-2`, … to who knows the secret, and remembers what it was asked.

    `asked` holds the path and the parameters of each request for a token.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.identity = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def token(self, path: str, asked: dict[str, str], secret: str | None) -> dict[str, object] | None:
        self.asked.append((path, asked))
        if secret is not None and secret != self.secret:
            return None
        return {"access_token": f"token-{len(self.asked)}", "token_type": "Bearer", "expires_in": "3600"}


class _Handler(BaseHTTPRequestHandler):
    @property
    def identity(self) -> IdentityServer:
        found: IdentityServer = self.server.identity  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/oidc/.well-known/oauth-authorization-server":
            at = f"{self.identity.url}/oidc/v1"
            self._answer(200, {"authorization_endpoint": f"{at}/authorize", "token_endpoint": f"{at}/token"})
        elif parts.path == "/metadata/identity/oauth2/token" and self.headers["Metadata"] == "true":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self._answer(200, self.identity.token(parts.path, asked, None))
        else:
            self._answer(404, {"error_code": "NOT_FOUND", "message": "nothing here"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        basic = base64.b64decode((self.headers["Authorization"] or "").partition(" ")[2]).decode()
        secret = asked.get("client_secret") or basic.partition(":")[2]
        found = self.identity.token(self.path, asked, secret)
        refusal = {"error": "invalid_client", "error_description": f"no such secret for {secret}"}
        self._answer(200 if found else 401, found or refusal)

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""
