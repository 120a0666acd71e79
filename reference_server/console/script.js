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

async function follow(job) {
  const answer = await fetch(job.dataset.progress, { headers: { accept: "application/json" } });
  if (!answer.ok || answer.redirected) {
    return; // The session may have ended: a reload tells.
  }
  const told = await answer.json();
  if (told.ended) {
    location.reload();
    return;
  }
  job.querySelector("[data-state]").textContent = told.state;
  job.querySelector("[data-text]").textContent = told.text;
  const bar = job.querySelector("progress");
  if (told.total) {
    bar.max = told.total;
    bar.value = told.done;
  }
  setTimeout(() => follow(job), PAUSE_MS);
}

document.querySelectorAll("[data-copyable]").forEach(addCopyButton);
document.querySelectorAll("[data-progress]").forEach((job) => setTimeout(() => follow(job), PAUSE_MS));
