// Shares a conversation: makes a link to a copy of it, shows the link once, and takes it back.

import { announce } from "./announce.js";
import { copyButton } from "./copying.js";
import { button, byId, make } from "./dom.js";
import { moment } from "./format.js";
import { sharedUrl } from "./route.js";

const WHAT = "questions, answers, statements and rows";

export class SharePanel {
  #toggle = byId("share");
  #panel = byId("share-panel");
  #days = 0;
  #id = null;
  #link = null; // {created, expires} of the conversation's link, also {token} where it was just made

  /** `make` makes a link to a conversation by its id, `revoke` takes it back. Both throw their errors. */
  constructor({ make: making, revoke }) {
    this.acts = { making, revoke };
    this.#toggle.addEventListener("click", () => this.#open(this.#panel.hidden));
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#close();
    });
  }

  /** Apply the settings of the server. */
  serve(about) {
    this.#days = about.share_days;
    this.#toggle.hidden = this.#days === 0;
  }

  /** Close the panel, for another conversation and its link. */
  show(id, link = null) {
    this.#id = id;
    this.#link = link;
    this.#open(false);
  }

  #open(isOpen) {
    this.#panel.hidden = !isOpen;
    this.#toggle.ariaExpanded = String(isOpen);
    if (isOpen) this.#render();
    else this.#panel.replaceChildren();
  }

  #close() {
    this.#open(false);
    this.#toggle.focus();
  }

  #render() {
    const small = { className: "button small" };
    const close = button("Close", () => this.#close(), small);
    const way = (text, act) => button(text, (event) => this.#act(event.currentTarget, act), small);
    const making = (text) => way(text, () => this.#make());
    const revoking = way("Take the link back", () => this.#revoke());
    const parts = this.#parts(making, revoking);
    this.#panel.replaceChildren(...parts.said, make("div", { className: "bar" }, parts.ways, close));
    this.#panel.querySelector("input, button").focus();
  }

  #parts(making, revoking) {
    if (this.#link === null) {
      const days = this.#days === 1 ? "a day" : `${this.#days} days`;
      const text = `Whoever has the link can read a copy of this conversation as it is now: ${WHAT}. It expires after ${days}.`;
      return { said: [make("p", {}, text)], ways: [making("Make a link")] };
    }
    const { created, expires, token } = this.#link;
    if (token === undefined) {
      const text = `A link of ${moment(created)} can be opened until ${moment(expires)}. It is not shown again; a new one replaces it.`;
      return { said: [make("p", {}, text)], ways: [making("Make a new link"), revoking] };
    }
    const url = sharedUrl(token);
    const field = make("input", { className: "field", value: url, readOnly: true, "aria-label": "Link to the copy" });
    field.addEventListener("focus", () => field.select());
    const text = `Whoever has the link can read a copy of this conversation as it is now, until ${moment(expires)}. It is shown only now.`;
    return { said: [field, make("p", {}, text)], ways: [copyButton(url, "The link", () => field), revoking] };
  }

  async #act(pressed, act) {
    const id = this.#id;
    pressed.disabled = true;
    try {
      const link = await act();
      if (id !== this.#id) return;
      this.#link = link;
      this.#render();
    } catch (error) {
      pressed.disabled = false;
      this.#panel.querySelector("[role=alert]")?.remove();
      this.#panel.append(make("p", { role: "alert" }, error.message));
    }
  }

  async #make() {
    const link = await this.acts.making(this.#id);
    announce("The link was made.");
    return link;
  }

  async #revoke() {
    await this.acts.revoke(this.#id);
    announce("The link leads nowhere any more.");
    return null;
  }
}
