// One person's week. What is done here goes to the simulator's control API.
const { who, zone } = document.body.dataset;
const HOUR = 48;
const MINUTE = 60_000;
const DAY = 86_400_000;
const week = document.getElementById("week");
const dialog = document.getElementById("entry");
let shown = "";

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
  const events = await ask(`/${who}/events?start=${encodeURIComponent(start)}`).catch(() => null);
  const now = JSON.stringify([monday, events]);
  // Redrawing under a pointer would end its drag.
  if (!events || now === shown || document.querySelector(".dragged")) return;
  shown = now;
  draw(events);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
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
    textContent: `${each.isAllDay ? "All day" : clock(Date.parse(each.start))} ${each.subject}`,
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
  const body = (more = {}) => ({ session: each.id, on: each.on, comment: comment.value, ...more });
  const comment = element("input", { name: "comment", placeholder: "A word to go with it" });
  const when = element("input", { type: "datetime-local", name: "when", step: 300, value: field(to ?? start) });
  const does = (label, what, more = () => ({})) =>
    element("button", { type: "button", textContent: label, onclick: () => act(what, body(more())) });
  const start_ = () => ({ start: new Date(unfield(when.value)).toISOString() });
  const isMeeting = each.attendees.length > 0;
  const allDay = each.isAllDay ? does("Not all day", "timed") : does("All day", "all-day");
  const buttons = !isMeeting
    ? [does("Move", "move", start_), allDay, does("Delete", "delete")]
    : each.isOrganizer
      ? [does("Move", "move", start_), allDay, does("Cancel meeting", "cancel")]
      : each.isCancelled
        ? [does("Remove", "delete")]
        : [does("Accept", "accept"), does("Tentative", "tentative"), does("Decline", "decline"),
           does("Propose this time", "propose", start_), does("Delete", "delete")];
  const people = each.attendees.map((one) => element("li", { textContent: `${one.name}: ${one.response}` }));
  show(
    each.subject,
    element("p", {
      textContent: `${each.isAllDay ? "All day" : `${clock(start)}–${clock(Date.parse(each.end))}`}, ${each.organizer}`,
    }),
    element("ul", {}, ...people),
    ...(isMeeting ? [comment] : []),
    when,
    element("div", { className: "row" }, ...buttons),
  );
}

function appoint(midnight, y) {
  const from = midnight + Math.floor((y / HOUR) * 4) * 15 * MINUTE;
  const subject = element("input", { name: "subject", value: "Private" });
  const begins = element("input", { type: "datetime-local", name: "start", step: 300, value: field(instant(from)) });
  const length = element("select", { name: "minutes" });
  for (const minutes of [30, 60, 120]) length.append(new Option(`${minutes} minutes`, minutes));
  const save = () => {
    const start = unfield(begins.value);
    const end = new Date(start + Number(length.value) * MINUTE).toISOString();
    void act("busy", { start: new Date(start).toISOString(), end, subject: subject.value });
  };
  show("Private appointment", subject, begins, length,
    element("div", { className: "row" }, element("button", { type: "button", textContent: "Save", onclick: save })));
}

function show(heading, ...parts) {
  const close = element("button", { type: "button", textContent: "Close", onclick: () => dialog.close() });
  dialog.replaceChildren(element("form", { method: "dialog" }, element("h2", { textContent: heading }), ...parts, close));
  dialog.showModal();
}

for (const [id, days] of [["previous", -7], ["next", 7]]) {
  document.getElementById(id).addEventListener("click", () => {
    monday += days * DAY;
    void read();
  });
}
void read();
setInterval(() => document.hidden || dialog.open || void read(), 1500);
