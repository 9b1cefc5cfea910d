// Requests to the service this page came from; to nothing else.

const TOKEN = "vilaco-token";

export class Problem extends Error {
  constructor(problem, retryAfter) {
    super(problem.detail);
    this.code = problem.code;
    this.status = problem.status;
    this.retryAfter = retryAfter;
  }
}

export function takeToken() {
  const match = /^#token=(.+)$/.exec(location.hash);
  if (match) {
    setToken(decoded(match[1]));
    history.replaceState(null, "", location.pathname);
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a token with a % that stands for itself
  }
}

export const setToken = (token) => sessionStorage.setItem(TOKEN, token);

function authorization() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function request(path, method = "GET") {
  let response;
  try {
    response = await fetch(path, { method, headers: authorization() });
  } catch {
    throw new Problem({ code: "unreachable", status: 0, detail: "The service cannot be reached." });
  }
  if (!response.ok) throw asProblem(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

function asProblem(status, text, retryAfter) {
  try {
    return new Problem(JSON.parse(text), Number(retryAfter) || 0);
  } catch {
    return new Problem({ code: "unknown", status, detail: `The service answered with status ${status}.` }, 0);
  }
}

export const getJson = async (path) => (await request(path)).json();
export const getBlob = async (path) => (await request(path)).blob();
export const remove = (path) => request(path, "DELETE");

// XMLHttpRequest, because fetch does not tell how much has been sent. Parts are [part, file, name].
export function upload(path, parts, onProgress) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    for (const [header, value] of Object.entries(authorization())) sending.setRequestHeader(header, value);
    sending.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    sending.addEventListener("load", () => {
      if (sending.status === 202) resolve(JSON.parse(sending.responseText));
      else reject(asProblem(sending.status, sending.responseText, sending.getResponseHeader("Retry-After")));
    });
    sending.addEventListener("error", () =>
      reject(new Problem({ code: "unreachable", status: 0, detail: "The service cannot be reached." }, 0)),
    );
    const form = new FormData();
    for (const part of parts) form.append(...part);
    sending.send(form);
  });
}
