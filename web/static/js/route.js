// The address of a conversation: after the # of the page's, so that a reload, a link and Back lead to it.

const PREFIX = "#c/";

export function addressOf(id) {
  return id === null ? "#" : PREFIX + encodeURIComponent(id);
}

/** The conversation of an address, or null. */
export function conversationAt(hash) {
  if (!hash.startsWith(PREFIX)) return null;
  try {
    return decodeURIComponent(hash.slice(PREFIX.length)) || null;
  } catch {
    return null;
  }
}
