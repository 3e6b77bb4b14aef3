// What stays in sight at the top (the header, the further calls, the recording) has a height that depends
// on the window and the calls. The style gets it from here, so that nothing hides what has the focus.

const height = (node) => (node && !node.hidden ? node.offsetHeight : 0);
const stays = (node) => Boolean(node) && getComputedStyle(node).position === "sticky";

/** Measure the header and the parts of `main` again whenever one of them changes its size. */
export function watchSticky(header, main) {
  const root = document.documentElement;
  const set = (name, pixels) => {
    const value = `${Math.ceil(pixels)}px`;
    if (root.style.getPropertyValue(name) !== value) root.style.setProperty(name, value);
  };
  const measure = () => {
    const strip = main.querySelector(".strip");
    const bar = main.querySelector(".call:not([hidden]) .bar");
    set("--header", stays(header) ? height(header) : 0);
    set("--strip", height(strip));
    set("--bar", stays(bar) ? height(bar) : 0);
  };
  const sizes = new ResizeObserver(measure);
  sizes.observe(header);
  sizes.observe(main);
  return measure;
}
