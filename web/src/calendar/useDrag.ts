import type { RefObject } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Session } from "../api/client";
import { usePage } from "../page";
import { lastingOf } from "../sessions/when";
import { type DateKey, type Instant, instantAt } from "../time/zones";
import { snapped } from "./layout";

const GRID_MINUTES = 15;
/** The distance a pointer moves before it is a drag instead of a click. */
const THRESHOLD_PIXELS = 5;

export interface Dragged {
  readonly session: Session;
  readonly date: DateKey;
  readonly minute: number;
  readonly lasting: number;
}

/** Drag a session over the week. The same can be done by form: see MoveDialog. */
export function useDrag(
  week: RefObject<HTMLElement | null>,
  hourHeight: number,
  onDrop: (session: Session, at: Instant) => void,
) {
  const { format, parameters } = usePage();
  const [dragged, setDragged] = useState<Dragged | null>(null);
  const latest = useRef<Dragged | null>(null);

  const onPointerDown = (down: PointerEvent, session: Session) => {
    if (down.button !== 0) return;
    const block = down.currentTarget as HTMLElement;
    const grabbedAt = down.clientY - block.getBoundingClientRect().top;
    const lasting = lastingOf(session, parameters.duration ?? 30) / 60_000;
    let isDrag = false;

    const move = (event: PointerEvent) => {
      const distance = Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY);
      if (!isDrag && distance < THRESHOLD_PIXELS) return;
      isDrag = true;
      event.preventDefault();
      const column = columnAt(week.current, event.clientX);
      const date = column?.dataset.date;
      if (!column || !date) return;
      const top = event.clientY - grabbedAt - column.getBoundingClientRect().top;
      const minute = snapped((top / hourHeight) * 60, GRID_MINUTES, lasting);
      latest.current = { session, date, minute, lasting };
      setDragged(latest.current);
    };
    const stop = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      window.removeEventListener("pointercancel", stop);
      window.removeEventListener("keydown", giveUp);
      latest.current = null;
      setDragged(null);
    };
    const up = () => {
      const dropped = latest.current;
      stop();
      if (!dropped) return;
      // The click that follows would open the session.
      block.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => block.removeEventListener("click", swallow, { capture: true }), 0);
      onDrop(session, instantAt(dropped.date, dropped.minute, format.zone));
    };
    const giveUp = (event: KeyboardEvent) => {
      if (event.key === "Escape") stop();
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
    window.addEventListener("pointercancel", stop);
    window.addEventListener("keydown", giveUp);
  };

  return { dragged, onPointerDown };
}

function columnAt(week: HTMLElement | null, x: number): HTMLElement | undefined {
  const columns = week?.querySelectorAll<HTMLElement>("[data-date]") ?? [];
  return [...columns].find((column) => {
    const box = column.getBoundingClientRect();
    return x >= box.left && x <= box.right;
  });
}

function swallow(event: Event): void {
  event.stopPropagation();
  event.preventDefault();
}
