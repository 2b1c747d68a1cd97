import type { Schemas, Session } from "../api/client";
import { usePage } from "../page";

export type Scope = Schemas["Scope"];
const SCOPES: readonly Scope[] = ["one", "this_and_following", "all"];

interface Props {
  session: Session;
  value: Scope;
  onChange: (scope: Scope) => void;
}

/** The scope of a change to a series; nothing for a single session. */
export function ScopeField({ session, value, onChange }: Props) {
  const { t } = usePage();
  if (!session.series_id) return null;
  return (
    <label>
      {t("scope")}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as Scope)}>
        {SCOPES.map((each) => (
          <option key={each} value={each}>
            {t(`scope.${each}`)}
          </option>
        ))}
      </select>
    </label>
  );
}
