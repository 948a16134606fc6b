// Before the page is drawn: the theme that was chosen here, else the system's.
(() => {
  try {
    const theme = localStorage.getItem("trajgen-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* a browser that keeps nothing for pages from disk shows the system's theme */ }
})();
