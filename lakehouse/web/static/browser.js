// What pages do beyond links and forms: previews out of stored frames, keys, seeking, example
// pictures, and how far an export is.
"use strict";

const FRAME_MS = 350;
const SEEK_S = 1;
const POLL_MS = 700;

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
  const links = [...list.querySelectorAll(":scope > a, :scope > .pick > a")];
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

const exporting = document.getElementById("export");

if (exporting) {
  const button = exporting.querySelector("button");
  const ticks = document.querySelectorAll('input[form="export"]');
  const say = () => {
    const count = [...ticks].filter((tick) => tick.checked).length;
    button.textContent = count
      ? `Export ${count} ticked ${count === 1 ? "clip" : "clips"}`
      : button.dataset.all;
  };
  ticks.forEach((tick) => tick.addEventListener("change", say));
  addEventListener("pageshow", say);
}

const example = document.querySelector("[data-example]");

if (example) {
  const input = example.querySelector("input");
  example.hidden = false;
  input.addEventListener("change", async () => {
    const { form } = input;
    if (!input.files.length) return;
    const answer = await fetch("/api/examples", { method: "POST", body: input.files[0] });
    const said = await answer.json();
    if (!answer.ok) {
      example.querySelector("output").textContent = said.detail;
      return;
    }
    form.querySelectorAll('[name="image"]').forEach((before) => before.remove());
    form.append(
      Object.assign(document.createElement("input"), {
        type: "hidden",
        name: "image",
        value: said.image,
      }),
    );
    form.requestSubmit();
  });
}

function size(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function failureLine(failure) {
  const link = Object.assign(document.createElement("a"), {
    href: `/clips/${encodeURIComponent(failure.clip_id)}`,
    textContent: failure.clip_id,
  });
  const error = Object.assign(document.createElement("span"), {
    className: "error",
    textContent: failure.error,
  });
  const line = document.createElement("li");
  line.append(link, " ", error);
  return line;
}

async function poll(shown) {
  try {
    const answer = await fetch(shown.dataset.export);
    if (!answer.ok) return;
    const now = await answer.json();
    if (now.state !== shown.dataset.state) {
      location.reload();
      return;
    }
    shown.querySelector("progress").value = now.done;
    for (const name of ["done", "failed"]) {
      shown.querySelector(`[data-told="${name}"]`).textContent = now[name];
    }
    shown.querySelector('[data-told="failed"]').parentElement.hidden = !now.failed;
    shown.querySelector('[data-told="bytes"]').textContent = size(now.bytes);
    shown.querySelector(".failures").replaceChildren(...now.failures.map(failureLine));
  } catch {
    // The server is away for now; the next time may be better.
  }
  setTimeout(poll, POLL_MS, shown);
}

document
  .querySelectorAll('[data-state="waiting"], [data-state="running"]')
  .forEach((shown) => setTimeout(poll, POLL_MS, shown));
