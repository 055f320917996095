// A formula that is wider than the page scrolls in itself, and can be reached by keyboard to do so.
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
  }));
  document.querySelectorAll("div.math mjx-container").forEach((formula) => sizes.observe(formula));
});
