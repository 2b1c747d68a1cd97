import type { UnavailableStart } from "../api/client";
import type { Key } from "../languages";
import en from "../languages/en.json";
import { usePage } from "../page";
import { nameOf } from "../people";

/** Return a function that explains why a start is not offered. */
export function useReasons(): (refusal: UnavailableStart) => string {
  const { t, format } = usePage();
  return (refusal) =>
    format.list(
      refusal.obstacles.map(({ obstacle, participants }) => {
        const key = `why.${obstacle}`;
        const names = format.list(participants.map(nameOf));
        return key in en ? t(key as Key, { names }) : obstacle;
      }),
    );
}
