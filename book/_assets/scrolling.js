// What is larger than its place and scrolls in itself, a formula or xarray's attributes, can be reached by keyboard to do so.
// For code and tables the theme sees to it.
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const larger = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    if (larger) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));
  document.querySelectorAll("div.math mjx-container, .xr-attrs").forEach((element) => sizes.observe(element));
});
