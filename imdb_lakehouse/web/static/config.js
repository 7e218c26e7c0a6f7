// Origin of the API: "" for that of this page, or for example "https://chat.example.org".
export const API = "";
