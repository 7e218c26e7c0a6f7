// The URL of a conversation: its id is in the fragment, so reload, links and Back work.

const PREFIX = "#c/";

export function addressOf(id) {
  return id === null ? "#" : PREFIX + encodeURIComponent(id);
}

/** Returns the conversation of a URL, or null. */
export function conversationAt(hash) {
  if (!hash.startsWith(PREFIX)) return null;
  try {
    return decodeURIComponent(hash.slice(PREFIX.length)) || null;
  } catch {
    return null;
  }
}
