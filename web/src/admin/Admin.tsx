import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { apiAt, body, type Schemas } from "../api/client";
import { usePage } from "../page";
import { Trouble } from "../parts/Trouble";
import { SignInNeeded } from "../signIn";
import { NewCustomer } from "./NewCustomer";
import { Organization } from "./Organization";

/** For the platform: the connection of each customer. */
export function Admin() {
  const { t, config } = usePage();
  const [token, setToken] = useState<string | null>(null);
  const [typed, setTyped] = useState("");
  const [organizations, setOrganizations] = useState<Schemas["OrganizationBody"][] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const url = config.platformTokenUrl;

  const api = useMemo(
    () =>
      apiAt(config.api, async () => {
        if (url) return await askedFor(url);
        if (!token) throw new SignInNeeded();
        return token;
      }),
    [config.api, url, token],
  );
  const isReady = Boolean(url || token);

  const read = useCallback(async () => {
    setError(null);
    try {
      const found: Schemas["OrganizationBody"][] = [];
      let cursor: string | null = null;
      do {
        const query: { limit: number; cursor?: string } = {
          limit: 100,
          ...(cursor && { cursor }),
        };
        const page: Schemas["OrganizationList"] = body(
          await api.GET("/organizations", { params: { query } }),
        );
        found.push(...page.items);
        cursor = page.next;
      } while (cursor);
      setOrganizations(found);
    } catch (caught) {
      setError(caught);
    }
  }, [api]);
  useEffect(() => {
    if (isReady) void read();
  }, [isReady, read]);

  return (
    <div class="admin">
      <p>{t("admin.text")}</p>
      {!url && (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            setToken(typed.trim());
          }}
        >
          <label>
            {t("admin.token")}
            <input
              type="password"
              autoComplete="off"
              required
              value={typed}
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          </label>
          <button type="submit">{t("admin.use")}</button>
        </form>
      )}
      {Boolean(error) && <Trouble error={error} onRetry={() => void read()} />}
      {isReady && !organizations && !error && <p>{t("loading")}</p>}
      {isReady && <NewCustomer api={api} onMade={() => void read()} />}
      {organizations?.length === 0 && <p>{t("admin.none")}</p>}
      <ul class="cards">
        {organizations?.map((each) => (
          <Organization key={each.id} api={api} organization={each} onChanged={() => void read()} />
        ))}
      </ul>
    </div>
  );
}

/** Return a token of the platform, from the address in `config.json`. */
async function askedFor(url: string): Promise<string> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  if (!answer.ok) throw new SignInNeeded();
  return ((await answer.json()) as { access_token: string }).access_token;
}
