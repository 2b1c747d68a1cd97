import { useEffect, useState } from "preact/hooks";
import { type Api, body, type Schemas } from "../api/client";
import type { Key } from "../languages";
import en from "../languages/en.json";
import { usePage } from "../page";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { Health } from "./Health";
import { distinctFindings } from "./findings";

const SIGNS = { works: "✓", fails: "✕", unknown: "?" } as const;

interface Props {
  api: Api;
  organization: Schemas["OrganizationBody"];
  onChanged: () => void;
}

/** One customer: approval, diagnosis, and how well its changes are followed. */
export function Organization({ api, organization, onChanged }: Props) {
  const { t, format } = usePage();
  const path = { organization_id: organization.id };
  const changedAt = organization.consent_changed_at;
  return (
    <li class="card" data-organization={organization.id}>
      <h2>{organization.id}</h2>
      <p>
        <b class={`consent ${organization.consent}`}>
          {t(`admin.consent.${organization.consent}`)}
        </b>
        {changedAt && <> · {format.moment(Date.parse(changedAt))}</>}
      </p>
      <p class="state">
        {organization.tenant_id
          ? t("admin.tenant", { id: organization.tenant_id })
          : t("admin.tenant.none")}
      </p>
      <Pending pending={organization.pending_settings} />
      <ConsentLink api={api} path={path} />
      <Diagnostics api={api} path={path} onChanged={onChanged} />
      <Health api={api} organizationId={organization.id} />
    </li>
  );
}

/** Settings that begin when the customer's administrator approves them. */
function Pending({ pending }: { pending: Schemas["PendingSettingsBody"] | null }) {
  const { t } = usePage();
  if (!pending) return null;
  const days = pending.retention_days;
  const what = [
    ...(pending.access_mode ? [t("admin.pending.access_mode")] : []),
    ...(days === null ? [] : [t("admin.pending.retention_days", { days: String(days) })]),
  ];
  return <p class="state pending">{t("admin.pending", { what: what.join(", ") })}</p>;
}

interface PartProps {
  api: Api;
  path: { organization_id: string };
}

function ConsentLink({ api, path }: PartProps) {
  const { t, format, announce } = usePage();
  const [link, setLink] = useState<Schemas["ConsentLinkBody"] | null>(null);
  const { isBusy, error, run } = useWork();
  const make = () =>
    run(async () =>
      setLink(
        body(
          await api.POST("/organizations/{organization_id}/consent-link", {
            params: { path },
          }),
        ),
      ),
    );
  return (
    <div>
      <button type="button" disabled={isBusy} onClick={() => void make()}>
        {t("admin.link.make")}
      </button>
      {Boolean(error) && <Trouble error={error} onRetry={() => void make()} />}
      {link && (
        <div class="row">
          <label>
            {t("admin.link", {
              when: format.moment(Date.parse(link.expires_at)),
            })}
            <input
              type="text"
              readOnly
              value={link.url}
              onFocus={(event) => event.currentTarget.select()}
            />
          </label>
          <button
            type="button"
            onClick={() => {
              void navigator.clipboard
                .writeText(link.url)
                .then(() => announce(t("admin.link.copied")));
            }}
          >
            {t("admin.link.copy")}
          </button>
        </div>
      )}
    </div>
  );
}

function Diagnostics({ api, path, onChanged }: PartProps & { onChanged: () => void }) {
  const { t, format } = usePage();
  const [mailbox, setMailbox] = useState("");
  const [people, setPeople] = useState<string[]>([]);
  const [found, setFound] = useState<Schemas["DiagnosticsBody"] | null>(null);
  const { isBusy, error, run } = useWork();

  useEffect(() => {
    const limit = 100;
    api
      .GET("/organizations/{organization_id}/pairings", {
        params: { path, query: { limit } },
      })
      .then((answer) => {
        const addresses = body(answer).items.flatMap((each) =>
          each.participants.map((one) => one.address),
        );
        setPeople([...new Set(addresses)].sort());
      })
      .catch(() => {});
  }, [api, path.organization_id]);

  const look = () =>
    run(async () => {
      const before = found?.consent;
      const answer = await api.GET("/organizations/{organization_id}/diagnostics", {
        params: { path, query: mailbox ? { mailbox } : {} },
      });
      const seen = body(answer);
      setFound(seen);
      if (before !== seen.consent) onChanged();
    });

  return (
    <div>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void look();
        }}
      >
        <label>
          {t("admin.mailbox")}
          <select value={mailbox} onChange={(event) => setMailbox(event.currentTarget.value)}>
            <option value="">–</option>
            {people.map((address) => (
              <option key={address} value={address}>
                {address}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" disabled={isBusy}>
          {isBusy ? t("admin.diagnosing") : t("admin.diagnose")}
        </button>
      </form>
      {Boolean(error) && <Trouble error={error} onRetry={() => void look()} />}
      {found && (
        <>
          <p class="state">
            {t("admin.checked", {
              when: format.moment(Date.parse(found.checked_at)),
            })}
          </p>
          <ul class="findings">
            {distinctFindings(found.findings).map((finding) => (
              <Finding key={finding.capability} finding={finding} />
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

function Finding({ finding }: { finding: Schemas["FindingBody"] }) {
  const { t } = usePage();
  const who = `admin.who.${finding.responsible}`;
  return (
    <li class={`finding ${finding.state}`} data-capability={finding.capability}>
      <b>
        <span aria-hidden="true">{SIGNS[finding.state]} </span>
        {t(`admin.finding.${finding.state}`)}
      </b>
      <p lang="en">
        {finding.meaning} {finding.code && <code>{finding.code}</code>}
      </p>
      {finding.remedy && (
        <p>
          {who in en && <b>{t(who as Key)}: </b>}
          <span lang="en">
            {finding.remedy} {finding.takes_effect}
          </span>{" "}
          {finding.link && (
            <a href={finding.link} target="_blank" rel="noopener noreferrer">
              {finding.link}
            </a>
          )}
        </p>
      )}
    </li>
  );
}
