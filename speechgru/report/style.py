"""How pages look: one style sheet for light and dark, desktop and phone, and paper."""

from __future__ import annotations

#: The colours by theme. Text on its background has a contrast of at least 4.5 (WCAG 2.2 AA); a test holds it.
COLOURS: dict[str, dict[str, str]] = {
    "light": {
        "page": "#f6f5f1",
        "card": "#ffffff",
        "text": "#1c2127",
        "muted": "#59626d",
        "rule": "#dcdad2",
        "accent": "#0f5c8c",
        "lost": "#a8281b",
        "lost-back": "#fbe6e2",
        "wrong": "#1a4fa3",
        "wrong-back": "#e2ecfb",
        "series-1": "#0f6ab0",
        "series-2": "#b4550a",
        "series-3": "#2b7a3d",
        "series-4": "#8a3aa8",
        "series-5": "#a4283f",
        "series-6": "#0a7480",
        "blank": "#9aa1a9",
        "band": "#1c2127",
    },
    "dark": {
        "page": "#14171b",
        "card": "#1d2126",
        "text": "#e7e9ec",
        "muted": "#a3acb7",
        "rule": "#363c44",
        "accent": "#7cc0ee",
        "lost": "#ff9c8f",
        "lost-back": "#44211d",
        "wrong": "#9cc4ff",
        "wrong-back": "#1b2f4c",
        "series-1": "#6db7f2",
        "series-2": "#f2a35c",
        "series-3": "#7fce90",
        "series-4": "#d09be8",
        "series-5": "#f58ea0",
        "series-6": "#62cbd6",
        "blank": "#77808b",
        "band": "#ffffff",
    },
}

#: How many `series-*` colours there are.
NUM_SERIES = 6

_RULES = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Helvetica, Arial, sans-serif; }
main, header, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 0 0 .25rem; letter-spacing: -.005em; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .35rem 0; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; margin: 0; padding: 0;
  font-size: .92rem; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: .75rem; padding: 1.25rem;
  margin: 1.1rem 0; }
.lead { color: var(--muted); font-size: .92rem; margin: 0 0 .9rem; max-width: 46rem; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: 1rem 1.5rem; margin: 0; }
.numbers div { border-left: 3px solid var(--rule); padding-left: .9rem; }
.numbers div:first-child { border-color: var(--accent); }
.numbers dt { color: var(--muted); font-size: .9rem; }
.numbers dd { margin: 0; }
.numbers .value { font-size: clamp(1.9rem, 5vw, 2.6rem); font-weight: 650; line-height: 1.15; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.numbers:has(> :nth-child(5)) .value { font-size: clamp(1.6rem, 4vw, 1.9rem); }
.numbers .aside { color: var(--muted); font-size: .88rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .7rem 1.5rem; margin: 0; }
.facts dt { color: var(--muted); font-size: .85rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; container-type: inline-size; /* where more is to be seen, an edge has a shadow */
  background: linear-gradient(90deg, var(--card) 40%, transparent) local,
  linear-gradient(270deg, var(--card) 40%, transparent) 100% 0 local,
  linear-gradient(90deg, var(--rule), transparent) scroll,
  linear-gradient(270deg, var(--rule), transparent) 100% 0 scroll;
  background-repeat: no-repeat; background-size: 2.5rem 100%, 2.5rem 100%, .8rem 100%, .8rem 100%; }
.scroll:focus-visible, a:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); font-size: .88rem; padding: .6rem 0 0; caption-side: bottom; }
caption span { display: inline-block; position: sticky; left: 0; max-width: min(100%, 100cqw); }
th, td { padding: .45rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text, th.text { text-align: left; }
th, td { vertical-align: baseline; }
thead th { color: var(--muted); font-weight: 600; font-size: .85rem; vertical-align: bottom; line-height: 1.3;
  white-space: normal; }
tbody th { font-weight: 600; }
tbody tr:last-child > * { border-bottom: 0; }
td.drawing { width: 100%; min-width: 11rem; padding-right: 0; vertical-align: middle; }
td.drawing svg { width: 100%; height: 1.25rem; }
.part + .part, .facts + .part, .numbers + .part { margin-top: 1.6rem; }
td small, th small { color: var(--muted); display: block; font-weight: 400; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.25rem; }
.multiples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr));
  gap: 1.6rem 1.25rem; margin-top: .8rem; }
figure { margin: 0; }
figure + figure { margin-top: 1.5rem; }
.panels figure + figure, .multiples figure + figure { margin-top: 0; }
figcaption { color: var(--muted); font-size: .88rem; }
figcaption h3 { color: var(--text); }
svg { display: block; max-width: 100%; height: auto; }
.wide svg { max-width: none; }
svg text { font-family: inherit; fill: var(--text); font-size: 13px; }
svg .tick { fill: var(--muted); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .mark { stroke: var(--muted); stroke-width: 1; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .dashed { stroke-dasharray: 5 4; }
svg .blank { fill: none; stroke: var(--blank); stroke-width: 1.5; stroke-dasharray: 3 3; }
svg .ring { fill: none; stroke: var(--text); stroke-width: 1.5; }
svg .lost-tick { stroke: var(--lost); }
svg .area { fill-opacity: .2; stroke-width: 1.75; stroke-linejoin: round; }
svg .peak { font-weight: 650; text-anchor: middle; font-size: 14px; }
svg .bar { fill: var(--series-1); fill-opacity: .55; }
svg .range { stroke: var(--text); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
svg .overall { stroke: var(--lost); stroke-width: 1.5; stroke-dasharray: 3 3; vector-effect: non-scaling-stroke; }
svg .band { fill: var(--band); fill-opacity: .06; }
svg .edge { stroke: var(--text); stroke-width: 2; }
svg .word { text-anchor: middle; font-weight: 600; }
.keys { margin: 0 0 .4rem; }
.key { margin-right: 1.2rem; white-space: nowrap; }
.key .sample { display: inline-block; width: 1.5rem; border-top: 2px solid; vertical-align: middle; }
.key .dashed { border-top-style: dashed; }
.texts { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: .6rem 0 0; }
.texts dt { color: var(--muted); font-size: .85rem; padding-top: .15rem; }
.texts dd { margin: 0; overflow-wrap: anywhere; }
.card { border-top: 1px solid var(--rule); padding: .9rem 0; }
.card:last-of-type { padding-bottom: 0; }
.card header { max-width: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 1rem;
  align-items: baseline; }
.card header span { color: var(--muted); font-size: .88rem; }
.aligned { display: grid; grid-template-columns: max-content 1fr; gap: 0 .9rem; margin: .45rem 0; }
.aligned .names { display: grid; grid-template-rows: 1.75rem 1.75rem; color: var(--muted); font-size: .85rem;
  align-items: center; }
.pairs { display: flex; flex-wrap: wrap; gap: .15rem .1rem; }
.pair { display: inline-grid; grid-template-rows: 1.75rem 1.75rem; align-items: center; justify-items: center;
  max-width: 100%; }
.pair > span { padding: 0 .28rem; max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.lost { color: var(--lost); background: var(--lost-back); text-decoration: line-through 2px; border-radius: .25rem; }
.wrong { color: var(--wrong); background: var(--wrong-back); text-decoration: underline 2px;
  text-underline-offset: .2em; border-radius: .25rem; font-weight: 600; }
.gap { color: var(--muted); }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
audio { width: min(100%, 24rem); height: 2.25rem; margin-top: .3rem; display: block; }
details { border-top: 1px solid var(--rule); padding-top: .7rem; margin-top: .7rem; }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
details > .card:first-of-type { border-top: 0; }
.quiet { color: var(--muted); font-size: .9rem; }
footer { color: var(--muted); font-size: .88rem; padding-bottom: 2.5rem; }
@media (max-width: 40rem) {
  main, header, footer { padding-left: .8rem; padding-right: .8rem; }
  section { padding: 1rem .85rem; border-radius: .5rem; }
  .numbers { grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem; }
  .facts { grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .7rem 1rem; }
}
@media print {
  body { background: #fff; }
  section { border: 0; padding: 0; break-inside: avoid; }
  audio, nav { display: none; }
}
"""


def style_sheet() -> str:
    """The complete style sheet: the colours of both themes, then the rules."""
    return "\n".join(
        [
            ":root { color-scheme: light dark;",
            _variables(COLOURS["light"]),
            "}",
            "@media (prefers-color-scheme: dark) { :root {",
            _variables(COLOURS["dark"]),
            "} }",
            _RULES.strip(),
        ]
    )


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
