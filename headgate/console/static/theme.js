// Sets the chosen theme before the first paint. Without a choice the operating system decides.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("headgate-theme"); } catch { chosen = null; }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
