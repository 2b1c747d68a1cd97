import { useEffect, useState } from "preact/hooks";
import { ApiProblem } from "../api/problems";
import { usePage } from "../page";
import { tell } from "./telling";

/** From here on minutes are shown. */
const LONG_SECONDS = 120;

interface Props {
  error: unknown;
  onRetry?: (() => void) | undefined;
}

/** An error in words, with the remedy. */
export function Trouble({ error, onRetry }: Props) {
  const { t, format, signIn } = usePage();
  const isOnline = useOnline();
  const told = tell(error, isOnline);
  const left = useCountdown(told.waitSeconds, error);
  const claims = error instanceof ApiProblem ? error.claims : null;

  useEffect(() => {
    if (claims) void signIn.meet(claims);
  }, [claims]);

  return (
    <div class="trouble" role="alert">
      <p>
        <span aria-hidden="true">⚠ </span>
        {t(told.key)}
      </p>
      {told.detail && <p lang="en">{told.detail}</p>}
      {told.remedy && <p lang="en">{told.remedy}</p>}
      {told.reference && <p>{t("problem.reference", { id: told.reference })}</p>}
      {left > 0 && (
        <p>
          {left > LONG_SECONDS
            ? t("problem.waitLong", { time: format.minutes(Math.ceil(left / 60)) })
            : t("problem.wait", { seconds: left })}
        </p>
      )}
      {told.action === "try" && onRetry && (
        <button type="button" onClick={onRetry} disabled={left > 0}>
          {t("try")}
        </button>
      )}
      {told.action === "sign-in" && (
        <button type="button" onClick={() => void signIn.now(claims ?? undefined)}>
          {t("signIn.button")}
        </button>
      )}
    </div>
  );
}

export function useOnline(): boolean {
  const [isOnline, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const look = () => setOnline(navigator.onLine);
    window.addEventListener("online", look);
    window.addEventListener("offline", look);
    return () => {
      window.removeEventListener("online", look);
      window.removeEventListener("offline", look);
    };
  }, []);
  return isOnline;
}

function useCountdown(seconds: number | null, restart: unknown): number {
  const [left, setLeft] = useState(seconds ?? 0);
  useEffect(() => {
    setLeft(seconds ?? 0);
    if (!seconds) return;
    const until = Date.now() + seconds * 1000;
    const timer = setInterval(() => {
      const rest = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      setLeft(rest);
      if (!rest) clearInterval(timer);
    }, 500);
    return () => clearInterval(timer);
  }, [seconds, restart]);
  return left;
}
