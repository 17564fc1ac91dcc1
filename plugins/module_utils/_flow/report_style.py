# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The style sheet of the report: one page, no script, nothing from outside; light, dark and paper."""

from __future__ import annotations

_LIGHT = """
--page:#f3f5f7;--card:#fff;--ink:#17212b;--soft:#5a6876;--rule:#dce2e8;--room:#e8edf1;--accent:#1f5fbf;
--band:rgba(31,95,191,.17);--past:rgba(90,104,118,.16);--good:#17703f;--warn:#9a5200;--bad:#b3261e;
--c0:#2f6fd0;--c1:#d8732a;--c2:#1a8f82;--c3:#a8479c;--c4:#8a7113;--c5:#6a5acd;--c6:#c03a4b;--c7:#4d8a2b;"""

_DARK = """
--page:#0e141a;--card:#161f28;--ink:#e7edf2;--soft:#9bacba;--rule:#2a3743;--room:#243140;--accent:#7db3ff;
--band:rgba(125,179,255,.22);--past:rgba(155,172,186,.2);--good:#6fd39b;--warn:#f0b35e;--bad:#ff8a80;
--c0:#6ea6f5;--c1:#f0a05c;--c2:#4fc4b5;--c3:#d98bce;--c4:#cdb352;--c5:#a99bf2;--c6:#f08391;--c7:#8fcb6b;"""

_BASE = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.wrap{max-width:1160px;margin:0 auto;padding:28px 20px 48px}
header h1{font-size:26px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em;overflow-wrap:anywhere}
header .when{color:var(--soft);margin:0 0 14px}
header .lead{font-size:17px;margin:0 0 20px;max-width:74ch;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:22px 0 8px;padding:10px 0;border-top:1px solid var(--rule);
border-bottom:1px solid var(--rule);font-size:14px}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
a:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:2px}
section{margin:34px 0 0}
h2{font-size:19px;margin:0 0 2px;letter-spacing:-.005em}
h3{font-size:16px;margin:0;overflow-wrap:anywhere}
.note{color:var(--soft);margin:0 0 14px;max-width:86ch}
.grid{display:grid;gap:14px}
.tiles{grid-template-columns:repeat(auto-fit,minmax(122px,1fr))}
.two{grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr))}
.card,.tile{background:var(--card);border:1px solid var(--rule);border-radius:8px}
.card{padding:16px 18px;min-width:0}
.tile{padding:12px 14px}
.tile b{display:block;font-size:24px;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px;display:block}
.head{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline;margin:0 0 6px}
.head .soft{margin-left:auto}
.soft{color:var(--soft)}.small{font-size:13px}
.chip{font-size:12px;line-height:1;padding:4px 8px;border-radius:10px;border:1px solid currentColor;white-space:nowrap}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
figure{margin:0;min-width:0}
.bars{max-width:560px;margin:10px 0}
figcaption{font-size:13px;color:var(--soft);margin:8px 0 0}
figcaption b{color:var(--ink);font-weight:600}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:6px 18px;margin:8px 0 4px}
dt{font-size:12px;color:var(--soft)}dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-size:12px;font-weight:600;color:var(--soft);text-align:left;vertical-align:bottom;white-space:nowrap}
th,td{padding:7px 14px 7px 0;border-bottom:1px solid var(--rule);vertical-align:top}
tbody tr:last-child td,tbody tr:last-child th{border-bottom:0}
tbody th{font-size:14px;color:var(--ink);white-space:normal}
td.num,th.num{text-align:right;white-space:nowrap}
td.why{min-width:230px}td.keep{white-space:nowrap}
td:last-child,th:last-child{padding-right:0}
.limit{display:inline-block;font-size:12px;color:var(--warn);border:1px solid currentColor;border-radius:4px;
padding:0 5px;margin:0 4px 2px 0}
details{margin:8px 0 0}summary{cursor:pointer;color:var(--soft);font-size:13px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);
margin:0 0 12px;padding:0;list-style:none}
.legend li{display:flex;align-items:center;gap:6px;overflow-wrap:anywhere}
.legend svg{width:26px;height:12px;flex:none}
.empty{color:var(--soft);border:1px dashed var(--rule);border-radius:8px;padding:16px}
footer{margin:40px 0 0;padding:14px 0 0;border-top:1px solid var(--rule);color:var(--soft);font-size:13px}
.chart{display:block;width:100%;height:auto;overflow:visible}
.chart text{font-size:11.5px;fill:var(--ink);font-variant-numeric:tabular-nums}
.chart .tick,.chart .soft{fill:var(--soft)}.chart .strong{font-weight:600}
.chart .grid{stroke:var(--rule);stroke-width:1}.chart .base{stroke:var(--soft);stroke-width:1}
.chart .now{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}
.actual,.median,.step{fill:none;stroke-linejoin:round;stroke-linecap:round}
.actual{stroke:var(--ink);stroke-width:1.3}
.median{stroke-width:1.8}.median.ahead{stroke:var(--accent)}.median.past{stroke:var(--accent);
stroke-width:1.2;stroke-dasharray:3 3}
.band.ahead{fill:var(--band)}.band.past{fill:var(--past)}
.request{fill:var(--warn)}.wait{stroke:var(--warn);stroke-width:3;opacity:.35}
.often{stroke:var(--warn);stroke-width:5}
.step{stroke-width:2}.room{fill:var(--room)}.capacity{stroke:var(--ink);stroke-width:1.5}
.chart.wide{display:none}
.ours{fill:var(--accent)}.theirs{fill:var(--soft);opacity:.55}
"""

_COLOURS = "".join(
    f".c{index}{{fill:var(--c{index})}}.s{index}{{stroke:var(--c{index})}}.d{index}{{color:var(--c{index})}}"
    for index in range(8)
)

_PRINT = """
@media screen and (min-width:760px),print{.chart.wide{display:block}.chart.narrow{display:none}}
@media screen and (max-width:520px){.wrap{padding:20px 14px 36px}.card{padding:14px}.chart text{font-size:14px}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,tbody th,td{display:block}
tr{border-bottom:1px solid var(--rule);padding:8px 0}tbody tr:last-child{border-bottom:0}
tbody th,td{border:0;padding:2px 0}
td{display:grid;grid-template-columns:38% 1fr;gap:8px}td.num{text-align:left}td.keep{white-space:normal}
td::before{content:attr(data-label);color:var(--soft);font-size:12px;line-height:21px;white-space:normal}
td:empty{display:none}td>.chip{justify-self:start}}
@media print{body{background:#fff;font-size:11pt}.wrap{max-width:none;padding:0}nav{display:none}
.card,.tile,tr,figure{break-inside:avoid}section{margin-top:20px}details:not([open])>*{display:none}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""

STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}{_BASE}{_COLOURS}{_PRINT}"
).replace("\n", "")
