// Addresses of this service only: a link from elsewhere must not lead a reader on to another site.

export function ownPath(given, otherwise = "/") {
  if (!given) return otherwise;
  try {
    const found = new URL(given, location.origin);
    if (found.origin !== location.origin || !given.startsWith("/")) return otherwise;
    return found.pathname === "/sign-in" ? otherwise : found.pathname + found.search + found.hash;
  } catch {
    return otherwise;
  }
}
