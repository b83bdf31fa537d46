/** The element of the page with this id. */
export function element<Kind extends HTMLElement = HTMLElement>(
  id: string,
  kind: new () => Kind = HTMLElement as new () => Kind,
): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** The input with this id. */
export function input(id: string): HTMLInputElement {
  return element(id, HTMLInputElement);
}
