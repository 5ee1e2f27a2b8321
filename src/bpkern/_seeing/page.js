"use strict";

{
  const root = document.querySelector("main");
  const frames = [...root.querySelectorAll(".frame")];
  const controls = root.querySelector(".controls");
  const sentence = root.querySelector(".sentence");
  const slider = root.querySelector(".slider input");
  const buttons = [...root.querySelectorAll("[data-go]")];
  const stepsOf = (frame) => [...frame.querySelectorAll(".steps > li")];
  const many = frames.length > 1;
  // Both from 1, as the sentences and data-step count.
  const now = { frame: 1, step: 1 };

  // The frame and the step that each button and key leads to; null where there is none.
  const ways = {
    first: () => ({ frame: 1, step: 1 }),
    previous: () => {
      if (now.step > 1) return { frame: now.frame, step: now.step - 1 };
      return now.frame > 1 ? { frame: now.frame - 1, step: stepsOf(frames[now.frame - 2]).length } : null;
    },
    next: () => {
      if (now.step < stepsOf(frames[now.frame - 1]).length) return { frame: now.frame, step: now.step + 1 };
      return now.frame < frames.length ? { frame: now.frame + 1, step: 1 } : null;
    },
    last: () => ({ frame: frames.length, step: stepsOf(frames.at(-1)).length }),
  };
  const keys = { Home: "first", ArrowLeft: "previous", ArrowRight: "next", End: "last" };

  function show(place) {
    Object.assign(now, place);
    frames.forEach((frame, index) => { frame.hidden = index !== now.frame - 1; });
    const frame = frames[now.frame - 1];
    for (const part of frame.querySelectorAll("[data-from], [data-until], [data-step]")) {
      const { from, until, step } = part.dataset;
      part.classList.toggle("later", from !== undefined && now.step < Number(from));
      part.classList.toggle("over", until !== undefined && now.step > Number(until));
      part.classList.toggle("now", step !== undefined && step.split(" ").includes(String(now.step)));
    }
    const steps = stepsOf(frame);
    steps.forEach((item, index) => {
      if (index === now.step - 1) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    sentence.textContent = `${now.step} of ${steps.length}. ${steps[now.step - 1].textContent}`;
    const ends = { first: now.frame === 1 && now.step === 1, previous: ways.previous() === null,
      next: ways.next() === null, last: ways.next() === null };
    for (const button of buttons) button.setAttribute("aria-disabled", String(ends[button.dataset.go]));
    if (many) {
      slider.value = String(now.frame);
      slider.previousElementSibling.textContent = frame.getAttribute("aria-label");
      slider.setAttribute("aria-valuetext", frame.getAttribute("aria-label"));
    }
    bringIntoView(frame);
  }

  // Scrolls the picture in its own box, never the page.
  function bringIntoView(frame) {
    const view = frame.querySelector(".view");
    // Lines may come from far away; what they lead to is what to see.
    const parts = view.querySelectorAll(".now .box");
    const boxes = [...parts].map((part) => part.getBoundingClientRect());
    if (boxes.length === 0) return;
    const box = view.getBoundingClientRect();
    const first = boxes.reduce((one, other) => (other.left + other.top < one.left + one.top ? other : one));
    // How far the middle of the parts is away, along one axis; that of the first one, if not all fit.
    const away = (low, high) => {
      const start = Math.min(...boxes.map((part) => part[low]));
      const end = Math.max(...boxes.map((part) => part[high]));
      const fits = end - start <= box[high] - box[low];
      return ((fits ? start + end : first[low] + first[high]) - box[low] - box[high]) / 2;
    };
    view.scrollTo({
      left: view.scrollLeft + away("left", "right"),
      top: view.scrollTop + away("top", "bottom"),
    });
  }

  function go(name) {
    const place = ways[name]();
    if (place !== null) show(place);
  }

  for (const button of buttons) button.addEventListener("click", () => go(button.dataset.go));
  document.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    go(keys[event.key]);
  });
  if (many) slider.addEventListener("input", () => {
    const frame = Number(slider.value);
    // The same step of another frame, to be compared.
    show({ frame, step: Math.min(now.step, stepsOf(frames[frame - 1]).length) });
  });

  frames.forEach((frame, index) => {
    const panel = frame.querySelector(".panel");
    stepsOf(frame).forEach((item, step) => {
      item.addEventListener("click", () => show({ frame: index + 1, step: step + 1 }));
    });
    for (const part of frame.querySelectorAll("[tabindex]")) {
      // The panel says it; a tooltip would cover the picture.
      part.querySelector(":scope > title")?.remove();
      const tell = () => { panel.textContent = part.getAttribute("aria-label"); };
      part.addEventListener("pointerenter", tell);
      part.addEventListener("focus", tell);
    }
    for (const hidden of [panel, frame.querySelector(".keys")]) hidden.hidden = false;
  });

  root.classList.add("stepping");
  controls.hidden = false;
  show({ frame: 1, step: 1 });
}
