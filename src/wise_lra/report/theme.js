// Before anything is painted: the theme that was chosen last, else the system's.
try {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
} catch { /* a browser that stores nothing follows the system */ }
