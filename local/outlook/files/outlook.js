// One person's week. What is done here goes to the simulator's control API.
const { who, zone } = document.body.dataset;
const HOUR = 48;
const MINUTE = 60_000;
const DAY = 86_400_000;
const week = document.getElementById("week");
const dialog = document.getElementById("entry");
let shown = "";
let calendars = [];

const wallClock = new Intl.DateTimeFormat("en-CA", {
  timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit",
});
function wall(at) {
  const part = Object.fromEntries(wallClock.formatToParts(at).map((p) => [p.type, Number(p.value)]));
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute);
}
function instant(shownAt) {
  const guess = shownAt - (wall(shownAt) - shownAt);
  return guess + (shownAt - wall(guess));
}
const text = (at, options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }).format(at);
const clock = (at) => text(at, { hour: "2-digit", minute: "2-digit" });
const field = (at) => new Date(wall(at)).toISOString().slice(0, 16);
const unfield = (value) => instant(Date.parse(`${value}:00Z`));

let monday = startOfWeek(Date.parse(new URLSearchParams(location.search).get("week") ?? "") || Date.now());
function startOfWeek(at) {
  const today = Math.floor(wall(at) / DAY) * DAY;
  return today - ((new Date(today).getUTCDay() + 6) % 7) * DAY;
}

async function ask(path, body) {
  const reply = await fetch(path, body && { method: "POST", body: JSON.stringify(body) });
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Error(told.error ?? `HTTP ${reply.status}`);
  return told;
}
async function act(what, body) {
  try {
    await ask(`/_control/people/${who}/acts/${what}`, body);
    say("");
  } catch (error) {
    say(error.message);
  }
  dialog.close();
  await read();
}
function say(message) {
  document.getElementById("trouble").textContent = message;
}

async function read() {
  const start = new Date(instant(monday)).toISOString();
  const found = await ask(`/${who}/events?start=${encodeURIComponent(start)}`).catch(() => null);
  const now = JSON.stringify([monday, found]);
  // Redrawing under a pointer would end its drag.
  if (!found || now === shown || document.querySelector(".dragged")) return;
  shown = now;
  calendars = found.calendars;
  document.getElementById("calendars").replaceChildren(...calendars.map((name) => new Option(name)));
  document.getElementById("deleted").replaceChildren(...found.deleted.map(deleted));
  draw(found.events);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
const button = (label, onclick, about) =>
  element("button", { type: "button", textContent: label, onclick, ariaLabel: about ? `${label}: ${about}` : null });
const labelled = (label, input) => element("label", {}, `${label} `, input);
const group = (legend, ...parts) => element("fieldset", {}, element("legend", { textContent: legend }), ...parts);
const timeInput = (at) =>
  element("input", { type: "datetime-local", step: 60, required: true, value: field(at) });

function deleted(each) {
  const when = text(Date.parse(each.start), { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const restore = button("Restore", () => act("restore", { session: each.id }), each.subject);
  return element("li", {}, `${each.subject}, ${when} `, restore);
}

function draw(events) {
  const top = week.childElementCount ? week.scrollTop : 7 * HOUR;
  const hours = element("div", { className: "hours" });
  for (let hour = 0; hour < 24; hour += 1) {
    const label = element("span", { textContent: `${hour}:00` });
    label.style.top = `${hour * HOUR}px`;
    hours.append(label);
  }
  const columns = [element("div", {}, element("div", { className: "head" }), hours)];
  for (let index = 0; index < 7; index += 1) {
    const midnight = monday + index * DAY;
    const head = element("div", {
      className: "head",
      textContent: text(instant(midnight + DAY / 2), { weekday: "short", day: "numeric", month: "short" }),
    });
    const day = element("div", { className: "day" });
    day.dataset.midnight = midnight;
    day.addEventListener("click", (event) => event.target === day && appoint(midnight, event.offsetY));
    const own = events.filter((each) => {
      const from = wall(Date.parse(each.start));
      return from < midnight + DAY && wall(Date.parse(each.end)) > midnight;
    });
    own.forEach((each) => day.append(block(each, midnight, own)));
    columns.push(element("div", {}, head, day));
  }
  week.replaceChildren(...columns);
  week.scrollTop = top;
  document.getElementById("range").textContent =
    text(instant(monday + DAY / 2), { day: "numeric", month: "long", year: "numeric" });
}

function block(each, midnight, all) {
  const from = Math.max(midnight, wall(Date.parse(each.start)));
  const to = Math.min(midnight + DAY, wall(Date.parse(each.end)));
  const overlapping = all.filter((one) => one.start < each.end && one.end > each.start);
  const isMeeting = each.attendees.length > 0;
  const made = element("button", {
    type: "button",
    className: ["event", isMeeting && "meeting", isMeeting && each.response,
      each.showAs === "free" && "free", each.isCancelled && "cancelled"].filter(Boolean).join(" "),
    textContent: [each.isAllDay ? "All day" : clock(Date.parse(each.start)), each.subject,
      each.calendar !== calendars[0] && `(${each.calendar})`].filter(Boolean).join(" "),
    title: each.subject,
  });
  made.dataset.event = each.id;
  made.style.top = `${((from - midnight) / MINUTE / 60) * HOUR}px`;
  made.style.height = `${((to - from) / MINUTE / 60) * HOUR}px`;
  made.style.left = `${(overlapping.indexOf(each) / overlapping.length) * 100}%`;
  made.style.width = `${100 / overlapping.length}%`;
  made.addEventListener("pointerdown", (down) => drag(down, made, each));
  made.addEventListener("click", () => made.dataset.moved || open(each));
  return made;
}

function drag(down, made, each) {
  if (down.button !== 0) return;
  const grabbed = down.clientY - made.getBoundingClientRect().top;
  let target = null;
  const move = (event) => {
    if (!target && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 5) return;
    const day = [...document.querySelectorAll(".day")].find((one) => {
      const box = one.getBoundingClientRect();
      return event.clientX >= box.left && event.clientX < box.right;
    });
    if (!day) return;
    const minutes = Math.round(((event.clientY - grabbed - day.getBoundingClientRect().top) / HOUR) * 4) * 15;
    target = Number(day.dataset.midnight) + minutes * MINUTE;
    made.classList.add("dragged");
    made.dataset.moved = "1";
    day.append(made);
    Object.assign(made.style, { top: `${(minutes / 60) * HOUR}px`, left: "0", width: "100%" });
  };
  const up = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", up);
    made.classList.remove("dragged");
    if (target === null) return;
    shown = "";
    const to = instant(target);
    if (each.attendees.length && !each.isOrganizer) {
      open(each, to);
      void read();
    } else {
      void act("move", { session: each.id, on: each.on, start: new Date(to).toISOString() });
    }
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", up);
}

function open(each, to) {
  const start = Date.parse(each.start);
  const isMeeting = each.attendees.length > 0;
  const comment = element("input");
  const when = timeInput(to ?? start);
  const body = (more) => ({ session: each.id, on: each.on, comment: comment.value, ...more });
  // An act waits for the inputs that it needs.
  const does = (label, what, more = () => ({}), needed = [], about = "") => button(
    label, () => needed.every((input) => input.reportValidity()) && act(what, body(more())), about);
  const at = (input) => new Date(unfield(input.value)).toISOString();
  const atTime = [() => ({ start: at(when) }), [when]];
  const allDay = each.isAllDay ? does("Not all day", "timed") : does("All day", "all-day");
  const buttons = each.isOrganizer
    ? [does("Move", "move", ...atTime), allDay,
       isMeeting ? does("Cancel meeting", "cancel") : does("Delete", "delete")]
    : each.isCancelled
      ? [does("Remove", "delete")]
      : [does("Accept", "accept"), does("Tentative", "tentative"), does("Decline", "decline"),
         does("Propose this time", "propose", ...atTime), does("Delete", "delete")];
  const groups = each.isCancelled ? [] : [people(each, does), otherCalendar(each, does)];
  if (each.on && each.isOrganizer) groups.push(following(each, does, at));
  show(
    each.subject,
    element("p", {
      textContent: `${each.isAllDay ? "All day" : `${clock(start)}–${clock(Date.parse(each.end))}`}, ${each.organizer}`,
    }),
    element("ul", {}, ...each.attendees.map((one) => attendee(one, each, does))),
    labelled("A word to go with it", comment),
    labelled("Time", when),
    element("div", { className: "row" }, ...buttons),
    ...groups,
  );
}

function attendee(one, each, does) {
  const about = `${one.name}: ${one.response}${one.kind === "optional" ? ", optional" : ""} `;
  const kind = one.kind === "optional" ? "required" : "optional";
  const become = (label, as) => does(label, "attend", () => ({ to: one.address, kind: as }), [], one.name);
  return element("li", {}, about, ...(each.isOrganizer ? [become(`Make ${kind}`, kind), become("Remove", null)] : []));
}

function people(each, does) {
  const address = element("input", { type: "email", required: true });
  address.setAttribute("list", "people");
  const add = (label, kind) => does(label, "attend", () => ({ to: address.value, kind }), [address]);
  return group("People", labelled("Address", address), element("div", { className: "row" },
    ...(each.isOrganizer ? [add("Add", "required"), add("Add as optional", "optional")] : []),
    does("Forward", "forward", () => ({ to: address.value }), [address])));
}

function otherCalendar(each, does) {
  const calendar = element("input", { required: true });
  calendar.setAttribute("list", "calendars");
  return group(`Calendar: ${each.calendar}`, labelled("Other calendar", calendar),
    does(each.on ? "Move the series there" : "Move there", "move-to", () => ({ calendar: calendar.value }), [calendar]));
}

function following(each, does, at) {
  const [start, end] = [each.start, each.end].map((time) => timeInput(Date.parse(time)));
  return group("This and following", labelled("Starts", start), labelled("Ends", end),
    does("Change this and following", "split", () => ({ start: at(start), end: at(end) }), [start, end]));
}

function appoint(midnight, y) {
  const from = midnight + Math.floor((y / HOUR) * 4) * 15 * MINUTE;
  const subject = element("input", { value: "Private" });
  const begins = timeInput(instant(from));
  const length = element("select");
  for (const minutes of [30, 60, 120]) length.append(new Option(`${minutes} minutes`, minutes));
  const save = () => {
    if (!begins.reportValidity()) return;
    const start = unfield(begins.value);
    const end = new Date(start + Number(length.value) * MINUTE).toISOString();
    void act("busy", { start: new Date(start).toISOString(), end, subject: subject.value });
  };
  show("Private appointment", labelled("Subject", subject), labelled("Starts", begins), labelled("Length", length),
    element("div", { className: "row" }, button("Save", save)));
}

function show(heading, ...parts) {
  const title = element("h2", { id: "subject", textContent: heading });
  dialog.replaceChildren(element("form", { method: "dialog" }, title, ...parts, button("Close", () => dialog.close())));
  dialog.showModal();
}

for (const [id, days] of [["previous", -7], ["next", 7]]) {
  document.getElementById(id).addEventListener("click", () => {
    monday += days * DAY;
    void read();
  });
}
document.getElementById("new").addEventListener("click", () => appoint(monday, 9 * HOUR));
void read();
setInterval(() => document.hidden || dialog.open || void read(), 1500);
