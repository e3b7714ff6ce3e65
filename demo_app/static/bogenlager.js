// Bogenlager works without this file; with it the time left counts down and notices can be put away.
"use strict";

function countDown(clock) {
  const bar = document.querySelector("[data-countdown-bar]");
  const note = document.querySelector("[data-countdown-note]");
  // Counted from when the page arrived, so that a wrong clock of this device does no harm.
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

for (const cross of document.querySelectorAll("[data-dismiss]")) {
  cross.addEventListener("click", (event) => {
    event.preventDefault();
    cross.closest("[data-notice]").remove();
  });
}
