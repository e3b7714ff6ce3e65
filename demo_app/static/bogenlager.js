// Bogenlager works without this file. With it, the remaining time counts down, notices can be dismissed, and the page of
// a device changes as soon as somebody approves the device.
"use strict";

function countDown(clock) {
  const bar = document.querySelector("[data-countdown-bar]");
  const note = document.querySelector("[data-countdown-note]");
  // Counted from when the page arrived, so that a wrong clock on this device does not matter.
  const end = performance.now() + Number(clock.dataset.countdown) * 1000;

  function show() {
    const left = Math.max(0, Math.round((end - performance.now()) / 1000));
    const two = (value) => String(value).padStart(2, "0");
    clock.textContent = `${two(Math.floor(left / 60))}:${two(left % 60)}`;
    bar.value = left;
    if (left === 0) {
      clearInterval(ticking);
      note.textContent = note.dataset.over;
    }
  }

  const ticking = setInterval(show, 1000);
  show();
}

for (const clock of document.querySelectorAll("[data-countdown]")) {
  countDown(clock);
}

function watchDevice(address) {
  const looking = setInterval(async () => {
    try {
      const answer = await fetch(address, { cache: "no-store" });
      if (answer.ok && (await answer.json()).state !== "waiting") {
        clearInterval(looking);
        location.reload();
      }
    } catch {
      // The server is unavailable for a moment; the next attempt follows soon.
    }
  }, 2000);
}

for (const page of document.querySelectorAll("[data-device]")) {
  watchDevice(page.dataset.device);
}

for (const cross of document.querySelectorAll("[data-dismiss]")) {
  cross.addEventListener("click", (event) => {
    event.preventDefault();
    cross.closest("[data-notice]").remove();
  });
}
