// Where the API is: "" for the origin of this page, or for instance "https://chat.example.org".
export const API = "";
