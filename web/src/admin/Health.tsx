import { useState } from "preact/hooks";
import { type Api, body, type Schemas } from "../api/client";
import { usePage } from "../page";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { byDay, CAUSES, type Day } from "./byDay";

const DAYS = 14;
/** The most pages of the feed that are read: the last ones of a busy customer are enough. */
const PAGES = 20;

interface Props {
  api: Api;
  organizationId: string;
}

/** How well a customer's changes are followed: current figures, and changes by day. */
export function Health({ api, organizationId }: Props) {
  const { t, format } = usePage();
  const [health, setHealth] = useState<Schemas["OrganizationHealthBody"] | null>(null);
  const [days, setDays] = useState<Day[]>([]);
  const { error, run } = useWork();
  const path = { organization_id: organizationId };

  const read = () =>
    run(async () => {
      setHealth(
        body(
          await api.GET("/organizations/{organization_id}/health", {
            params: { path },
          }),
        ),
      );
      setDays(byDay(await changes(api, path), format.zone, DAYS));
    });

  return (
    <details onToggle={(event) => event.currentTarget.open && void read()}>
      <summary>{t("admin.health")}</summary>
      {Boolean(error) && <Trouble error={error} onRetry={() => void read()} />}
      {health && <Figures health={health} />}
      {health && (
        <>
          <h3>{t("admin.health.overTime")}</h3>
          {days.length === 0 ? <p>{t("admin.health.noChanges")}</p> : <Chart days={days} />}
        </>
      )}
    </details>
  );
}

function Figures({ health }: { health: Schemas["OrganizationHealthBody"] }) {
  const { t, format } = usePage();
  const at = (moment: string | null | undefined) =>
    moment ? format.moment(Date.parse(moment)) : t("admin.health.never");
  const lag = (milliseconds: number | null) => {
    if (milliseconds === null) return "–";
    return milliseconds < 1000
      ? t("milliseconds", { count: format.number(milliseconds) })
      : t("seconds", { count: format.number(Math.round(milliseconds / 1000)) });
  };
  const { subscriptions, changes: seen } = health;
  const lags = (which: Schemas["LagFiguresBody"]) =>
    `${lag(which.lag_p50_ms)} / ${lag(which.lag_p99_ms)}`;
  const rows: readonly (readonly [string, string])[] = [
    [t("admin.health.subscriptions"), format.number(subscriptions.active)],
    [t("admin.health.polling"), format.number(subscriptions.polling)],
    [t("admin.health.expired"), format.number(subscriptions.expired)],
    [t("admin.health.lastPush"), at(subscriptions.last_push_at)],
    [t("admin.health.push"), format.number(seen.push.count)],
    [t("admin.health.lagPush"), lags(seen.push)],
    [t("admin.health.reconciliation"), format.number(seen.reconciliation.count)],
    [t("admin.health.lagReconciliation"), lags(seen.reconciliation)],
    [t("admin.health.credential"), at(health.credential?.expires_at)],
  ];
  return (
    <dl class="figures">
      {rows.map(([name, value]) => (
        <div key={name} class="figure">
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A column a day, each with a text of its figures. */
function Chart({ days }: { days: readonly Day[] }) {
  const { t, format } = usePage();
  const most = Math.max(
    ...days.map(({ counts }) => CAUSES.reduce((sum, cause) => sum + counts[cause], 0)),
  );
  return (
    <>
      <ul class="chart">
        {days.map(({ date, counts }) => {
          const text = t("admin.health.day", {
            day: format.heading(date).full,
            push: format.number(counts.outlook),
            reconciliation: format.number(counts.reconciliation),
            api: format.number(counts.api),
          });
          return (
            <li key={date} title={text}>
              <span class="unseen">{text}</span>
              {CAUSES.map((cause) => (
                <span
                  key={cause}
                  aria-hidden="true"
                  class={`cause-${cause}`}
                  style={{ blockSize: `${(counts[cause] / most) * 6.5}rem` }}
                />
              ))}
            </li>
          );
        })}
      </ul>
      <ul class="keys" aria-hidden="true">
        {CAUSES.map((cause) => (
          <li key={cause}>
            <span class={`key cause-${cause}`} /> {t(`admin.cause.${cause}`)}
          </li>
        ))}
      </ul>
    </>
  );
}

async function changes(
  api: Api,
  path: { organization_id: string },
): Promise<Schemas["ChangeBody"][]> {
  const found: Schemas["ChangeBody"][] = [];
  let cursor: string | null = null;
  for (let count = 0; count < PAGES; count += 1) {
    const query: { limit: number; cursor?: string } = {
      limit: 500,
      ...(cursor && { cursor }),
    };
    const page: Schemas["ChangeList"] = body(
      await api.GET("/organizations/{organization_id}/changes", {
        params: { path, query },
      }),
    );
    found.push(...page.items);
    // The feed never ends: its last page is empty, but has a cursor.
    if (!page.items.length || !page.next || page.next === cursor) break;
    cursor = page.next;
  }
  return found;
}
