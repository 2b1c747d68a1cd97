import { useState } from "preact/hooks";
import { type Booked, body, type Session } from "../api/client";
import { usePage } from "../page";
import { Dialog } from "../parts/Dialog";
import { dropDraft, useDraft } from "../parts/draft";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { type Scope, ScopeField } from "./ScopeField";
import { whenOf } from "./when";

interface Props {
  session: Session;
  onClose: () => void;
  onCancelled: (booked: Booked) => void;
}

/** Cancel a session, with a message to the others. */
export function CancelDialog({ session, onClose, onCancelled }: Props) {
  const { t, format, api } = usePage();
  const name = `cancel.${session.id}`;
  const [draft, change] = useDraft(name, { comment: "" });
  const [scope, setScope] = useState<Scope>("one");
  const { isBusy, error, run } = useWork();
  const send = () =>
    run(async () => {
      const answer = await api.POST("/sessions/{session_id}/cancel", {
        params: { path: { session_id: session.id } },
        body: { comment: draft.comment, scope },
      });
      dropDraft(name);
      onCancelled(body(answer));
    });
  return (
    <Dialog heading={t("cancel.heading")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <p>{whenOf(session, format, t)}</p>
        {Boolean(error) && <Trouble error={error} onRetry={() => void send()} />}
        <label>
          {t("cancel.comment")}
          <textarea
            rows={3}
            maxLength={2000}
            value={draft.comment}
            onInput={(event) => change({ comment: event.currentTarget.value })}
          />
        </label>
        <ScopeField session={session} value={scope} onChange={setScope} />
        <footer>
          <button type="button" onClick={onClose}>
            {t("cancel.keep")}
          </button>
          <button type="submit" class="main danger" disabled={isBusy}>
            {t("cancel.send")}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
