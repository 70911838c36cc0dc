// Before all else, and no module, so that it runs wherever the page is opened: says why the page cannot work there.
(function () {
  var reason = '';
  if (location.protocol === 'file:') {
    reason = 'This page was opened as a file, and browsers let no file load others. Serve its folder, such as with '
      + '"python -m http.server --directory SITE", and open http://localhost:8000.';
  } else if (typeof WebAssembly !== 'object' || !HTMLScriptElement.supports
    || !HTMLScriptElement.supports('importmap')) {
    reason = 'This browser is too old for this page. Update it, or use another one.';
  }
  document.documentElement.dataset.start = reason ? 'no' : 'yes';
  addEventListener('DOMContentLoaded', function () {
    if (reason) document.getElementById('status').textContent = reason;
  });
})();
