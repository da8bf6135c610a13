// Says of which lock the page is part, from what build.lock.js beside that lock said before.
"use strict";
for (const note of document.querySelectorAll("#build-lock")) {
  const {up, facts} = note.dataset;
  const lock = window.cocomineLock;
  let own = location.pathname.split("/").slice(-up.split("/").length).join("/");
  try {
    own = decodeURIComponent(own);
  } catch {
    // A bare % stands for itself.
  }
  const known = lock && /^[0-9a-f]{64}$/.test(lock.sha256);
  if (known && Object.hasOwn(Object(lock.pages), own) && lock.pages[own] === facts) {
    const link = Object.assign(document.createElement("a"), {href: up + "build.lock.json", textContent: "build.lock.json"});
    const hash = Object.assign(document.createElement("code"), {textContent: lock.sha256});
    note.append("Part of ", link, ", SHA-256 ", hash, ".");
  } else if (known) {
    note.append("Not part of the build.lock.json that lies here: this page is of another build, or was made again since. Run the build to its end.");
  } else {
    note.append("Not part of a lock yet: the build has not run to its end, or this page lies apart from its results.");
  }
  note.hidden = false;
}
