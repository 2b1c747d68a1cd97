import { lazy, Suspense } from "preact/compat";
import { useCallback, useEffect, useState } from "preact/hooks";
import { type Booked, body, type Me, type Pairing, type Schemas, type Session } from "./api/client";
import { PairingCalendar } from "./calendar/PairingCalendar";
import { usePage } from "./page";
import { Trouble, useOnline } from "./parts/Trouble";
import { nameOf } from "./people";
import { AnswerDialog } from "./sessions/AnswerDialog";
import { CancelDialog } from "./sessions/CancelDialog";
import { MoveDialog } from "./sessions/MoveDialog";
import { type Action, SessionCard } from "./sessions/SessionCard";
import { useSessions } from "./sessions/useSessions";
import type { Instant } from "./time/zones";
import { whenOf } from "./sessions/when";

const Admin = lazy(() => import("./admin/Admin").then((module) => module.Admin));

/** The whole page. */
export function App() {
  const { t, signIn, parameters } = usePage();
  const isOnline = useOnline();
  return (
    <>
      {!parameters.isEmbedded && (
        <header class="top">
          <a class="unseen-until-focus" href="#with">
            {t("skip")}
          </a>
          <h1>{t(parameters.isAdmin ? "admin" : "title")}</h1>
          {signIn.account && !parameters.isAdmin && (
            <p>
              <span class="who">
                {t("signedInAs", {
                  name: signIn.account.name ?? signIn.account.username,
                })}
              </span>{" "}
              <button type="button" class="quiet" onClick={() => void signIn.out()}>
                {t("signOut")}
              </button>
            </p>
          )}
        </header>
      )}
      <main>
        {!isOnline && (
          <p class="trouble" role="alert">
            <span aria-hidden="true">⚠ </span>
            {t("problem.offline")}
          </p>
        )}
        {parameters.isAdmin ? (
          <Suspense fallback={<p>{t("loading")}</p>}>
            <Admin />
          </Suspense>
        ) : signIn.account ? (
          <Meeting />
        ) : (
          <Welcome />
        )}
      </main>
      <p id="said" role="status" aria-live="polite" />
    </>
  );
}

function Welcome() {
  const { t, signIn } = usePage();
  const [error, setError] = useState<unknown>(null);
  const [account, setAccount] = useState(signIn.account);
  if (account) return <Meeting />;
  return (
    <section class="welcome">
      <h2>{t("signIn.heading")}</h2>
      <p>{t("signIn.text")}</p>
      {Boolean(error) && <Trouble error={error} />}
      <button
        type="button"
        class="main"
        onClick={() => {
          signIn.now().then(() => setAccount(signIn.account), setError);
        }}
      >
        {t("signIn.button")}
      </button>
    </section>
  );
}

interface Doing {
  action: Action;
  session: Session;
  to: Instant | null;
}

function Meeting() {
  const { t, format, api, parameters, announce } = usePage();
  const [pairings, setPairings] = useState<Pairing[] | null>(null);
  const [me, setMe] = useState<Me | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [chosen, setChosen] = useState(parameters.pairing);
  const [doing, setDoing] = useState<Doing | null>(null);
  const [shown, setShown] = useState<string | null>(null);
  const sessions = useSessions(true);

  const read = useCallback(async () => {
    try {
      setPairings(await allPairings(api));
      setError(null);
    } catch (caught) {
      setError(caught);
    }
  }, [api]);
  useEffect(() => {
    void read();
    // It tries the mailbox, which takes a while, so nothing waits for it.
    api.GET("/me").then(
      (answer) => setMe(body(answer)),
      () => {},
    );
  }, [read]);

  const pairing = pairings?.find((each) => each.id === chosen) ?? pairings?.[0];
  const choose = (id: string) => {
    setChosen(id);
    const url = new URL(location.href);
    url.searchParams.set("pairing", id);
    history.replaceState(null, "", url);
  };
  const changed = (booked: Booked, said: string) => {
    sessions.put(booked.series?.sessions ?? [booked]);
    setDoing(null);
    announce(said);
  };
  const open = (session: Session) => {
    setShown(session.id);
    const card = document.getElementById(`session-${session.id}`);
    card?.scrollIntoView({ block: "center" });
    card?.focus();
  };
  const when = (session: Session) =>
    session.dates ? whenOf(session, format, t) : format.moment(Date.parse(session.start));
  const upcoming = sessions.list.filter(
    (session) =>
      Date.parse(session.end) > Date.now() &&
      (session.state !== "cancelled" || Date.now() - Date.parse(session.changed_at) < 86_400_000),
  );

  if (error) return <Trouble error={error} onRetry={() => void read()} />;
  return (
    <div class="layout">
      <nav aria-label={t("pairings")}>
        <h2>{t("pairings")}</h2>
        {pairings?.length === 0 && <p>{t("pairings.none")}</p>}
        <ul>
          {pairings?.map((each) => (
            <li key={each.id}>
              <button
                type="button"
                class="pairing"
                aria-current={each === pairing ? "true" : undefined}
                onClick={() => choose(each.id)}
              >
                {each.participants
                  .filter((person) => !person.is_me)
                  .map((person) => (
                    <span key={person.address}>
                      <b>{nameOf(person.address)}</b> <small>{t(`role.${person.role}`)}</small>
                    </span>
                  ))}
              </button>
            </li>
          ))}
        </ul>
        <MailboxNotice me={me} />
      </nav>
      {pairing && (
        <PairingCalendar
          key={pairing.id}
          pairing={pairing}
          sessions={sessions.list}
          revision={sessions.revision}
          onBooked={changed}
          onOpen={open}
          onMove={(session, to) => setDoing({ action: "move", session, to })}
        />
      )}
      <aside aria-labelledby="sessions" aria-busy={!(sessions.isRead || sessions.error)}>
        <h2 id="sessions">{t("sessions")}</h2>
        {Boolean(sessions.error) && <Trouble error={sessions.error} onRetry={sessions.now} />}
        {sessions.isRead && upcoming.length === 0 && <p>{t("sessions.none")}</p>}
        <ul class="cards">
          {upcoming.map((session) => (
            <SessionCard
              key={session.id}
              session={session}
              organizer={organizerOf(session, pairings ?? [])}
              isShown={session.id === shown}
              onAct={(action, which) => setDoing({ action, session: which, to: null })}
              onChanged={changed}
            />
          ))}
        </ul>
      </aside>
      {doing?.action === "move" && (
        <MoveDialog
          session={doing.session}
          to={doing.to}
          onClose={() => setDoing(null)}
          onMoved={(session) => changed(session, t("move.done", { when: when(session) }))}
        />
      )}
      {doing?.action === "cancel" && (
        <CancelDialog
          session={doing.session}
          onClose={() => setDoing(null)}
          onCancelled={(session) => changed(session, t("cancel.done", { when: when(session) }))}
        />
      )}
      {doing?.action === "answer" && (
        <AnswerDialog
          session={doing.session}
          onClose={() => setDoing(null)}
          onAnswered={(session) =>
            changed(session, t(session.response_requested ? "respond.done" : "respond.unsent"))
          }
        />
      )}
    </div>
  );
}

function MailboxNotice({ me }: { me: Me | null }) {
  const { t } = usePage();
  const failing = me?.mailbox.findings.filter((finding) => finding.state === "fails") ?? [];
  if (!failing.length) return null;
  return (
    <div class="notice">
      <p>
        <b>{t("mailbox.heading")}</b>
      </p>
      {failing.map((finding) => (
        <p key={finding.capability} lang="en">
          {finding.meaning} {finding.remedy}
        </p>
      ))}
    </div>
  );
}

function organizerOf(session: Session, pairings: readonly Pairing[]): string {
  const people = pairings.flatMap((pairing) => pairing.participants);
  const found = people.find((person) => person.object_id === session.organizer_id);
  return found ? nameOf(found.address) : "";
}

async function allPairings(api: ReturnType<typeof usePage>["api"]): Promise<Pairing[]> {
  const found: Pairing[] = [];
  let cursor: string | null = null;
  do {
    const query: { limit: number; cursor?: string } = {
      limit: 100,
      ...(cursor && { cursor }),
    };
    const page: Schemas["PairingList"] = body(await api.GET("/pairings", { params: { query } }));
    found.push(...page.items);
    cursor = page.next;
  } while (cursor);
  return found;
}
