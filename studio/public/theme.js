// Before the first paint, so that nothing flashes: the choice of this browser, else the system's.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("ourvidz.theme");
  } catch {}
  if (theme !== "light" && theme !== "dark") {
    theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.dataset.theme = theme;
})();
