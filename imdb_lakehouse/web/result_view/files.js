// Saves files by the host: a view in a frame may not.

/**
 * Returns save(name, type, content), where `content` is a text or a Blob. `say` is told why a file could not be saved.
 */
export function saverOf(host, say) {
  return async (name, type, content) => {
    try {
      const file = typeof content === "string" ? { text: content } : { blob: await toBase64(content) };
      const resource = { uri: `file:///${name}`, mimeType: type, ...file };
      const { isError } = await host.request("ui/download-file", { contents: [{ type: "resource", resource }] });
      if (isError) say(`${name} was not saved.`);
    } catch (error) {
      say(`${name} was not saved: ${error.message}`);
    }
  };
}

async function toBase64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
