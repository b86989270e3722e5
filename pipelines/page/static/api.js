// Requests to the server: answers in JSON, errors as one line.

export class Refused extends Error {}

async function asked(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused("The program does not answer: it may have been stopped.");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const told = await response.json().catch(() => ({}));
  throw new Refused(told.error || `The program answered with ${response.status}.`);
}

const image = (id) => `/api/images/${encodeURIComponent(id)}`;

export const state = () => asked("/api/state");
export const upload = (file) =>
  asked(`/api/images?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
export const example = (number) => asked(`/api/examples/${number}`, { method: "POST" });
export const examplePicture = (number) => `/api/examples/${number}`;
export const remove = (id) => asked(image(id), { method: "DELETE" });
export const picture = (id) => `${image(id)}/picture`;
export const answer = (id, say) => asked(`${image(id)}/answer`, { method: "POST", body: JSON.stringify(say) });
export const file = (id, kind, say) =>
  `${image(id)}/files/${kind}?say=${encodeURIComponent(JSON.stringify(say))}`;
