// What pages do beyond links and forms: previews out of stored frames, keys, seeking.
"use strict";

const FRAME_MS = 350;
const SEEK_S = 1;

function animate(card) {
  const ids = (card.dataset.frames || "").split(" ").filter(Boolean);
  const image = card.querySelector("img");
  if (!image || ids.length < 2) return;
  const still = image.getAttribute("src");
  let frames = null;
  let timer = 0;
  let number = 0;
  const start = () => {
    if (timer) return;
    frames = frames || ids.map((id) => Object.assign(new Image(), { src: `/frames/${id}.jpg` }));
    timer = setInterval(() => {
      const next = frames[(number += 1) % frames.length];
      if (next.complete && next.naturalWidth) image.src = next.src;
    }, FRAME_MS);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    image.src = still;
  };
  card.addEventListener("pointerenter", start);
  card.addEventListener("pointerleave", stop);
  card.addEventListener("focus", start);
  card.addEventListener("blur", stop);
}

function isTyping(target) {
  return target instanceof HTMLElement && target.closest("input, select, textarea") !== null;
}

function follow(relation) {
  const link = document.querySelector(`a[rel="${relation}"]`);
  if (link) link.click();
}

function move(list, steps) {
  const links = [...list.querySelectorAll(":scope > a")];
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? 0 : Math.min(Math.max(at + steps, 0), links.length - 1)];
  if (next) next.focus();
}

function columns(list) {
  return getComputedStyle(list).gridTemplateColumns.split(" ").length;
}

function seek(video, seconds) {
  const end = Number.isFinite(video.duration) ? video.duration : seconds;
  video.currentTime = Math.min(Math.max(seconds, 0), end);
}

document.querySelectorAll("[data-frames]").forEach(animate);

const list = document.querySelector("[data-cards]");
const video = document.querySelector("video");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const keys = {
    "/": () => {
      const box = document.getElementById("q");
      if (box) { box.focus(); box.select(); } else location.href = "/";
    },
    j: () => (list ? move(list, 1) : follow("next")),
    k: () => (list ? move(list, -1) : follow("prev")),
  };
  if (list) {
    Object.assign(keys, {
      ArrowRight: () => move(list, 1),
      ArrowLeft: () => move(list, -1),
      ArrowDown: () => move(list, columns(list)),
      ArrowUp: () => move(list, -columns(list)),
    });
  }
  if (video && event.target !== video) {
    Object.assign(keys, {
      " ": () => (video.paused ? video.play().catch(() => {}) : video.pause()),
      ArrowRight: () => seek(video, video.currentTime + SEEK_S),
      ArrowLeft: () => seek(video, video.currentTime - SEEK_S),
    });
  }
  if (Object.hasOwn(keys, event.key)) {
    event.preventDefault();
    keys[event.key]();
  }
});

if (video) {
  document.querySelectorAll("[data-seek]").forEach((frame) => {
    frame.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      seek(video, Number(frame.dataset.seek));
    });
  });
  const moment = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (moment) {
    const go = () => seek(video, Number(moment[1]));
    if (video.readyState > 0) go();
    else video.addEventListener("loadedmetadata", go, { once: true });
  }
}
