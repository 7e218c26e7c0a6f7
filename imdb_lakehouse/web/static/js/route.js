// The URL of a conversation or of a shared copy: its id or token is in the fragment, so reload, links and Back work,
// and the token of a copy is sent to no server that only serves the page.

const CONVERSATION = "#c/";
const SHARED = "#s/";

export function addressOf(id) {
  return id === null ? "#" : CONVERSATION + encodeURIComponent(id);
}

/** Returns the conversation of a URL, or null. */
export function conversationAt(hash) {
  return partAfter(CONVERSATION, hash);
}

/** Returns the token of the copy at a URL, or null. */
export function sharedAt(hash) {
  return partAfter(SHARED, hash);
}

/** Returns the URL of a copy, wherever this page lies. */
export function sharedUrl(token) {
  return location.origin + location.pathname + SHARED + encodeURIComponent(token);
}

function partAfter(prefix, hash) {
  if (!hash.startsWith(prefix)) return null;
  try {
    return decodeURIComponent(hash.slice(prefix.length)) || null;
  } catch {
    return null;
  }
}
