import { useEffect, useRef, useState } from "preact/hooks";
import { type Api, body, type Session } from "../api/client";
import { ApiProblem } from "../api/problems";
import { usePage } from "../page";
import { Poll } from "../polling";

const PAGE = 100;
/** Sessions that began earlier are not shown. */
const BEHIND_MS = 7 * 86_400_000;

export interface Sessions {
  readonly list: readonly Session[];
  readonly isRead: boolean;
  readonly error: unknown;
  /** Counts up with every change. */
  readonly revision: number;
  /** Take a request's answer, before the next poll returns it. */
  readonly put: (sessions: readonly Session[]) => void;
  readonly now: () => void;
}

/** The viewer's sessions, kept up to date while the page is visible. */
export function useSessions(isWanted: boolean): Sessions {
  const { api } = usePage();
  const [list, setList] = useState<readonly Session[]>([]);
  const [isRead, setRead] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [revision, setRevision] = useState(0);
  const latest = useRef<readonly Session[]>([]);
  const poll = useRef<Poll | null>(null);
  /** Counts the answers taken: a poll that started before is older than they are. */
  const puts = useRef(0);

  useEffect(() => {
    if (!isWanted) return;
    let etag: string | null = null;
    const ask = async () => {
      const before = puts.current;
      const found = await read(api, etag);
      setError(null);
      if (found && puts.current === before) {
        etag = found.etag;
        if (JSON.stringify(found.list) !== JSON.stringify(latest.current)) {
          latest.current = found.list;
          setList(found.list);
          setRevision((count) => count + 1);
        }
        setRead(true);
      }
      return latest.current.some(isUnderWay);
    };
    const made = new Poll(ask, setError, (caught) =>
      caught instanceof ApiProblem ? caught.retryAfterSeconds : null,
    );
    poll.current = made;
    return made.start();
  }, [api, isWanted]);

  return {
    list,
    isRead,
    error,
    revision,
    put: (sessions) => {
      puts.current += 1;
      const news = new Map(sessions.map((each) => [each.id, each]));
      const others = latest.current.filter((each) => !news.has(each.id));
      latest.current = [...others, ...news.values()].sort((a, b) => a.start.localeCompare(b.start));
      setList(latest.current);
      setRevision((count) => count + 1);
      poll.current?.now();
    },
    now: () => poll.current?.now(),
  };
}

/** Return whether a change is expected soon: a response is missing, or a link. */
function isUnderWay(session: Session): boolean {
  return (
    session.state === "requested" ||
    (session.state === "scheduled" &&
      Date.parse(session.start) > Date.now() &&
      (session.responses.pending > 0 || session.online_meeting.state === "pending"))
  );
}

/** Return all pages, or null if nothing has changed since *etag*. */
async function read(
  api: Api,
  etag: string | null,
): Promise<{ list: Session[]; etag: string | null } | null> {
  const from = new Date(
    Math.floor((Date.now() - BEHIND_MS) / 86_400_000) * 86_400_000,
  ).toISOString();
  const list: Session[] = [];
  let cursor: string | null = null;
  let seen: string | null = null;
  do {
    const answer: Awaited<ReturnType<typeof page>> = await page(
      api,
      from,
      cursor,
      cursor ? null : etag,
    );
    if (answer.response.status === 304) return null;
    // With several pages the first page's ETag is not enough.
    seen = cursor ? null : answer.response.headers.get("etag");
    const found = body(answer);
    list.push(...found.items);
    cursor = found.next;
    if (cursor) seen = null;
  } while (cursor);
  return { list, etag: seen };
}

function page(api: Api, from: string, cursor: string | null, etag: string | null) {
  return api.GET("/sessions", {
    params: { query: { from, limit: PAGE, ...(cursor && { cursor }) } },
    headers: etag ? { "If-None-Match": etag } : {},
  });
}
