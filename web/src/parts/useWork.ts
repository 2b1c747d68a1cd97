import { useEffect, useRef, useState } from "preact/hooks";

/** Sends requests: one at a time, with the error of the last attempt. */
export function useWork(): {
  isBusy: boolean;
  error: unknown;
  forget: () => void;
  run: (work: () => Promise<void>) => Promise<void>;
} {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const isMounted = useRef(true);
  useEffect(
    () => () => {
      isMounted.current = false;
    },
    [],
  );
  return {
    isBusy,
    error,
    forget: () => setError(null),
    run: async (work) => {
      if (isBusy) return;
      setBusy(true);
      setError(null);
      try {
        await work();
      } catch (caught) {
        if (isMounted.current) setError(caught);
      } finally {
        if (isMounted.current) setBusy(false);
      }
    },
  };
}
