/** Typed but unsent text: it survives a sign-in and a reload, but not the tab. */
import { useState } from "preact/hooks";

const PREFIX = "mentor-calendar.draft.";

export function readDraft<T>(name: string): T | null {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name) ?? "null") as T | null;
  } catch {
    return null;
  }
}

export function dropDraft(name: string): void {
  sessionStorage.removeItem(PREFIX + name);
}

export function useDraft<T extends object>(
  name: string,
  initial: T,
): [T, (change: Partial<T>) => void] {
  const [value, setValue] = useState<T>(() => ({
    ...initial,
    ...readDraft<T>(name),
  }));
  const change = (part: Partial<T>) =>
    setValue((before) => {
      const after = { ...before, ...part };
      try {
        sessionStorage.setItem(PREFIX + name, JSON.stringify(after));
      } catch {
        // Storage may be forbidden in a frame: then the draft lives as long as the page.
      }
      return after;
    });
  return [value, change];
}
