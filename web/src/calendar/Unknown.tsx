import type { ParticipantAvailability } from "../api/client";
import type { Key } from "../languages";
import en from "../languages/en.json";
import { usePage } from "../page";
import { nameOf } from "../people";

interface Props {
  people: readonly ParticipantAvailability[];
  takes: boolean;
  onTake: (takes: boolean) => void;
}

/** The participants with an unknown calendar, the reason and the remedy. Unknown is not free. */
export function Unknown({ people, takes, onTake }: Props) {
  const { t } = usePage();
  const unknown = people.filter((person) => person.unknown);
  if (!unknown.length) return null;
  return (
    <div class="unknown-people">
      {unknown.map(({ address, unknown: reason }) => {
        const key = `unknown.${reason?.reason}`;
        return (
          <div key={address} class="notice">
            <p>
              <b>
                <span aria-hidden="true">? </span>
                {t("unknown.heading", { name: nameOf(address) })}
              </b>{" "}
              {t(key in en ? (key as Key) : "unknown.other")}
            </p>
            {reason?.remedy && (
              <p>
                {t("remedy", { remedy: "" })}
                <span lang="en">{reason.remedy}</span>
              </p>
            )}
          </div>
        );
      })}
      <label class="check">
        <input
          type="checkbox"
          checked={takes}
          onChange={(event) => onTake(event.currentTarget.checked)}
        />
        {t("offerUnknown")}
      </label>
    </div>
  );
}
