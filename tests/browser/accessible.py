"""What a page owes to people who see it otherwise: asked of the page itself, in the browser.

No library: each rule is a few lines, and each answers with the elements that break it.
"""

from __future__ import annotations

from playwright.sync_api import Page

_RULES = """() => {
  const shown = e => e.getClientRects().length > 0 && getComputedStyle(e).visibility === 'visible';
  const all = selector => [...document.querySelectorAll(selector)];
  const named = e => (e.getAttribute('aria-label') || e.innerText || e.textContent || '').trim();
  const say = e => e.outerHTML.slice(0, 160);
  const wrong = [];
  const rule = (words, found) => found.forEach(e => wrong.push(words + ': ' + say(e)));

  if (!document.documentElement.lang) wrong.push('the page names no language');
  if (!document.title.trim()) wrong.push('the page has no title');
  if (all('h1').length !== 1) wrong.push('headings of the first level: ' + all('h1').length);
  let level = 0;
  all('h1,h2,h3,h4').forEach(h => {
    const now = Number(h.tagName[1]);
    if (now > level + 1) wrong.push('a heading skips a level: ' + say(h));
    level = now;
  });
  if (all('main').length !== 1) wrong.push('landmarks main: ' + all('main').length);
  rule('a field without a label', all('input,select,textarea').filter(
    e => e.type !== 'hidden' && !(e.labels && e.labels.length && named(e.labels[0]))));
  rule('a description that is not there', all('[aria-describedby],[aria-labelledby]').filter(
    e => !document.getElementById(
      e.getAttribute('aria-describedby') || e.getAttribute('aria-labelledby'))));
  rule('a button or link without a name', all('button,a').filter(e => shown(e) && !named(e)));
  rule('a table without a caption', all('table').filter(e => !e.caption || !named(e.caption)));
  rule('a heading cell without a scope', all('th').filter(e => !e.scope || !named(e)));
  const ids = all('[id]').map(e => e.id);
  ids.filter((id, n) => ids.indexOf(id) !== n).forEach(id => wrong.push('twice: #' + id));

  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(
    c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  ).reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = e => {
    for (let at = e; at; at = at.parentElement) {
      const c = parts(getComputedStyle(at).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const contrast = e => {
    const both = [light(parts(getComputedStyle(e).color)), light(behind(e))];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  };
  const texts = all('body *').filter(e => shown(e) && !['STYLE', 'OPTION'].includes(e.tagName)
    && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  rule('too little contrast', texts.filter(e => contrast(e) < 4.5));

  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) wrong.push('wider than the screen by ' + wide);
  return wrong;
}"""


def faults(page: Page) -> list[str]:
    """What is wrong with the page as it is shown: language, title, headings, landmarks, labels,
    names, captions, scopes, ids, contrast (4.5 to 1), and that it fits the screen's width."""
    found: list[str] = page.evaluate(_RULES)
    return found
