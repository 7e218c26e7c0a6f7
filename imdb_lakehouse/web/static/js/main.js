// Entry point of the page.

import { API } from "../config.js";
import { Api } from "./api.js";
import { App } from "./app.js";
import { redrawCharts } from "./chart_view.js";
import { byId, isComposing } from "./dom.js";
import { storage } from "./storage.js";
import { installTheme } from "./theme.js";

installTheme(byId("theme"), redrawCharts);
const app = new App(new Api(API, storage));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the fragment of the URL is the conversation
  byId("messages").focus();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented && !isComposing(event)) void (app.closeSidebar() || app.cancel());
});
app.begin();
