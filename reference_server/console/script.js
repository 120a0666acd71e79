// What pages do beside what links and forms do: copy a text, and keep a job's progress up to date.
"use strict";

const PAUSE_MS = 1000;

function addCopyButton(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = document.body.dataset.copy;
  button.setAttribute("aria-label", `${document.body.dataset.copy}: ${block.dataset.copyable}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.querySelector("pre, output").textContent);
    } catch {
      return; // Without permission the text can still be marked by hand.
    }
    button.textContent = document.body.dataset.copied;
    document.getElementById("announcement").textContent = document.body.dataset.copied;
  });
  block.append(button);
}

// As the server writes them: the second cell is the row's head, the others are figures.
function tableRow(cells) {
  const row = document.createElement("tr");
  row.append(...cells.map((text, index) => {
    const cell = document.createElement(index === 1 ? "th" : "td");
    if (index === 1) {
      cell.scope = "row";
    } else {
      cell.className = "number";
    }
    cell.textContent = text;
    return cell;
  }));
  return row;
}

// Each element is named by what it shows; what the server has drawn is put in its place.
function show(told, job) {
  job.querySelector("[data-state]").textContent = told.state;
  job.querySelector("[data-text]").textContent = told.text;
  const bar = job.querySelector("progress");
  if (told.total) {
    bar.max = told.total;
    bar.value = told.done;
  }
  for (const [name, text] of Object.entries(told.texts)) {
    document.querySelectorAll(`[data-live="${name}"]`).forEach((element) => { element.textContent = text; });
  }
  for (const [name, points] of Object.entries(told.points)) {
    document.querySelector(`[data-line="${name}"]`)?.setAttribute("points", points);
  }
  const body = document.querySelector("[data-rows]");
  if (body && body.rows.length !== told.rows.length) {
    body.replaceChildren(...told.rows.map(tableRow));
  }
}

// Returns whether there is more to come.
async function ask(job) {
  const answer = await fetch(job.dataset.progress, { headers: { accept: "application/json" } });
  if (!answer.ok || answer.redirected) {
    return false; // The session may have ended: a reload tells.
  }
  const told = await answer.json();
  if (told.ended) {
    location.reload();
    return false;
  }
  show(told, job);
  return true;
}

async function poll(job) {
  if (await ask(job)) {
    setTimeout(() => poll(job), PAUSE_MS);
  }
}

// Events tell when there is something new; there are so many streams at a time, and without one it is asked.
function follow(job) {
  const events = new EventSource(job.dataset.events);
  let asking = false, changed = false;
  events.addEventListener("job", async () => {
    changed = true;
    if (asking) {
      return;
    }
    asking = true;
    while (changed) {
      changed = false;
      if (!(await ask(job))) {
        events.close();
      }
    }
    asking = false;
  });
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(() => poll(job), PAUSE_MS);
    }
  });
}

document.querySelectorAll("[data-copyable]").forEach(addCopyButton);
document.querySelectorAll("[data-progress]").forEach(follow);
