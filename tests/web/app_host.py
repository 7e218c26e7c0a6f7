"""A program that shows MCP Apps, as small as one can be: what it tells the view and what it hears follows the protocol.

The view stands in a sandboxed frame of another origin, under the policy that the specification has hosts make of
`_meta.ui.csp`. Behind it is a real server, by the SDK's client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client import Client, advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID

from mcp_server.app import LakehouseServer

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

HOST_URL = "http://host.test/"
VIEW_URL = "http://view.test/"
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; connect-src 'none'; "
    "img-src 'self' data:; font-src 'self'; media-src 'self' data:; frame-src 'none'; object-src 'none'; "
    "base-uri 'self'"
)
EVERYTHING: Mapping[str, Any] = {"serverTools": {}, "downloadFile": {}}
"""What a host can do that can do all that the view asks for."""

_PAGE = """<!doctype html>
<html lang="en"><title>Host</title>
<style>body { margin: 0 } iframe { width: 100%; height: 40px; border: 0 }</style>
<body><iframe sandbox="allow-scripts" title="Result"></iframe>
<script>
const frame = document.querySelector("iframe");
const heard = [];
let started;
const send = (message) => frame.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
const tell = (method, params) => send({ method, params });
const ways = {
  "ui/initialize": () => started.welcome,
  "tools/call": (params) => callTool(params),
  "ui/download-file": () => ({}),
  "ui/request-display-mode": ({ mode }) => ({ mode }),
};
addEventListener("message", async ({ source, data }) => {
  if (source !== frame.contentWindow) return;
  heard.push(data);
  if (data.method === "ui/notifications/size-changed") frame.style.height = `${data.params.height}px`;
  if (data.method === "ui/notifications/initialized") {
    tell("ui/notifications/tool-input", { arguments: started.args });
    if (started.result) tell("ui/notifications/tool-result", started.result);
  }
  if (data.id === undefined || data.method === undefined) return;
  try {
    send({ id: data.id, result: await ways[data.method](data.params) });
  } catch (error) {
    send({ id: data.id, error: { code: -32000, message: String(error) } });
  }
});
function start(given) {
  started = given;
  frame.src = given.view;
}
</script>"""


class ServerClient:
    """A client in a thread of its own, whose calls wait for their answers."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self._portal, self._client = portal, client

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result as it goes over the wire."""

        async def call() -> dict[str, Any]:
            result = await self._client.call_tool(tool, arguments)
            return result.model_dump(mode="json", by_alias=True, exclude_none=True)

        return self._portal.call(call)

    def ask(self, sql: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a model calls with a statement, and the result."""
        arguments = {"sql_query": sql, "reasoning": "a test", **more}
        return arguments, self.call("execute_spark_sql", arguments)

    def read_view(self) -> str:
        """The document that the tool names."""

        async def read() -> str:
            tools = {tool.name: tool for tool in (await self._client.list_tools()).tools}
            (found,) = (await self._client.read_resource(tools["execute_spark_sql"].meta["ui"]["resourceUri"])).contents
            return str(found.text)

        return self._portal.call(read)


@contextmanager
def connect_host(server: LakehouseServer) -> Iterator[ServerClient]:
    """Connect as a host of MCP Apps does."""
    host = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Client(server, extensions=[host])) as it:
        yield ServerClient(portal, it)


class AppHost:
    """A host in a page of a browser."""

    def __init__(self, page: Page, client: ServerClient) -> None:
        self.page, self.client = page, client
        document = client.read_view()
        headers = {"Content-Security-Policy": POLICY}
        page.route(f"{HOST_URL}**", lambda route: route.fulfill(body=_PAGE, content_type="text/html"))
        page.route(
            f"{VIEW_URL}**",
            lambda route: route.fulfill(body=document, content_type="text/html; charset=utf-8", headers=headers),
        )
        page.expose_function("callTool", lambda params: client.call(params["name"], params["arguments"]))

    def show(
        self, answer: tuple[dict[str, Any], dict[str, Any] | None], can: Mapping[str, Any] = EVERYTHING, **context: Any
    ) -> FrameLocator:
        """Show the result of a call as a host with these capabilities and this context does."""
        arguments, result = answer
        welcome = {
            "protocolVersion": "2026-01-26",
            "hostInfo": {"name": "test", "version": "1"},
            "hostCapabilities": dict(can),
            "hostContext": {"theme": "light", "availableDisplayModes": ["inline", "fullscreen"], **context},
        }
        self.page.goto(HOST_URL)
        given = {"view": VIEW_URL, "args": arguments, "result": result, "welcome": welcome}
        self.page.evaluate("(given) => start(given)", given)
        return self.page.frame_locator("iframe")

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """Send the view a notification."""
        self.page.evaluate("([method, params]) => tell(method, params)", [method, dict(params)])

    def heard(self, method: str) -> list[Any]:
        """The parameters of what the view has sent so far by this method."""
        found: list[Any] = self.page.evaluate(
            "(method) => heard.filter((one) => one.method === method).map((one) => one.params)", method
        )
        return found
