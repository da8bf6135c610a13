// Shows the pictures of one class. Without this script the page lacks only the buttons, which stay hidden.
"use strict";
for (const controls of document.querySelectorAll(".controls")) {
  const gallery = document.getElementById(controls.dataset.gallery);
  const buttons = [...controls.querySelectorAll("button")];
  controls.hidden = false;
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const wanted = button.dataset.label;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      for (const figure of gallery.querySelectorAll("figure")) {
        figure.hidden = wanted !== "" && !figure.dataset.labels.split(" ").includes(wanted);
      }
    });
  }
}
