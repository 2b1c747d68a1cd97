import { useState } from "preact/hooks";
import { type Api, body } from "../api/client";
import { usePage } from "../page";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";

/** Makes an organization; with its tenant, no other tenant can use the consent link. */
export function NewCustomer({ api, onMade }: { api: Api; onMade: () => void }) {
  const { t } = usePage();
  const [tenant, setTenant] = useState("");
  const { isBusy, error, run } = useWork();
  const make = () =>
    run(async () => {
      const named = tenant.trim();
      body(await api.POST("/organizations", { body: named ? { tenant_id: named } : {} }));
      setTenant("");
      onMade();
    });
  return (
    <>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void make();
        }}
      >
        <label>
          {t("admin.new.tenant")}
          <input
            type="text"
            autoComplete="off"
            value={tenant}
            onInput={(event) => setTenant(event.currentTarget.value)}
          />
        </label>
        <button type="submit" disabled={isBusy}>
          {t("admin.new")}
        </button>
      </form>
      {Boolean(error) && <Trouble error={error} onRetry={() => void make()} />}
    </>
  );
}
