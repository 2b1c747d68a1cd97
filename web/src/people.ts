/** Names for people, derived from addresses: the service keeps no names. */

/** Return a readable name for an address: `gil.perrin@…` is Gil Perrin. */
export function nameOf(address: string): string {
  const local = address.split("@")[0] ?? address;
  return local
    .split(/[._+-]+/)
    .filter(Boolean)
    .map((part) => part.charAt(0).toLocaleUpperCase() + part.slice(1))
    .join(" ");
}

/** Return one letter for narrow places. */
export function initial(address: string): string {
  return nameOf(address).charAt(0) || "?";
}
