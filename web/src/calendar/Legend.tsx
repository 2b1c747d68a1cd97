import type { ParticipantAvailability } from "../api/client";
import { usePage } from "../page";
import { nameOf } from "../people";
import { zoneOf } from "./layout";

/** The meaning of the colours, the working hours, and the zones. */
export function Legend({
  people,
  me,
}: {
  people: readonly ParticipantAvailability[];
  me: string | undefined;
}) {
  const { t, format } = usePage();
  const now = Date.now();
  return (
    <details class="legend">
      <summary>{t("legend")}</summary>
      <ul class="keys">
        {(["free", "unknown", "busy", "tentative", "away", "hours", "session"] as const).map(
          (key) => (
            <li key={key}>
              <span class={`key ${key}`} aria-hidden="true" /> {t(`legend.${key}`)}
            </li>
          ),
        )}
      </ul>
      <p>{t("zone.yours", { zone: format.zoneName(format.zone, now) })}</p>
      <ul>
        {people.map((person) => {
          const name = person.address === me ? t("you") : nameOf(person.address);
          const hours = person.working_hours;
          const zone = zoneOf(person);
          return (
            <li key={person.address}>
              {hours && zone !== null
                ? t("hours", {
                    name,
                    days: format.list(hours.days.map((day) => format.weekday(day))),
                    start: hours.start,
                    end: hours.end,
                    zone: `${hours.time_zone} (${format.offset(zone, now)})`,
                  })
                : t("hours.unknown", { name })}
            </li>
          );
        })}
      </ul>
    </details>
  );
}
