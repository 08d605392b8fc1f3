"""The style sheet on top of Streamlit's theme, for light and dark mode."""

from __future__ import annotations

from typing import Final

import streamlit as st

# Streamlit's theme colours are --st-* variables; marks are mixed from them, so that both themes keep contrast.
CSS: Final = """
<style>
:root { --iq-mark: color-mix(in srgb, var(--st-primary-color, #0f766e) 24%, transparent);
        --iq-line: color-mix(in srgb, currentColor 18%, transparent); }
.stMainBlockContainer { padding-top: 3.2rem; padding-bottom: 5rem; max-width: 80rem;
                        padding-left: 2.2rem; padding-right: 2.2rem; }
:focus-visible { outline: 3px solid var(--st-primary-color, #0f766e) !important; outline-offset: 2px; }
.iq-turn { border-left: 3px solid var(--iq-line); padding: .15rem 0 .15rem .8rem;
           overflow-wrap: anywhere; }
.iq-turn p { margin: 0; }
.iq-turn.person { border-left-color: var(--st-violet-color, #7c3aed); }
.iq-turn.unsure { border-left-style: dashed; }
.iq-turn.against { border-left-color: var(--st-red-color, #dc2626); }
.iq-q { font-weight: 600; }
.iq-q .n { opacity: .75; font-variant-numeric: tabular-nums; margin-right: .4rem; }
.iq-turn.unsure .iq-a { font-style: italic; opacity: .85; }
.iq-tag { display: inline-block; font-size: .78rem; line-height: 1.35; padding: 0 .45rem; border-radius: .6rem;
          border: 1px solid var(--iq-line); margin-left: .45rem; font-style: normal;
          font-weight: 500; white-space: nowrap; }
.iq-tag.red { border-color: var(--st-red-color, #dc2626); color: var(--st-red-text-color, inherit); }
.iq-note { font-size: .85rem; opacity: .85; }
.iq-caption { border: 1px solid var(--iq-line); border-radius: .6rem; padding: .7rem .9rem; height: 100%;
              overflow-wrap: anywhere; }
.iq-caption h2 { margin: 0 0 .35rem; font-size: .95rem; font-weight: 600; padding: 0; }
.iq-caption p { margin: 0; }
.iq-caption mark { background: var(--iq-mark); color: inherit; border-radius: .2rem; padding: .05em .15em; }
.iq-caption mark sup { font-size: .65em; opacity: .9; margin-left: .1em; }
.iq-cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(9rem, 100%), 1fr)); gap: .8rem; }
[class*="st-key-turn-"] button { min-height: 1.5rem; padding: 0 0 0 .8rem; opacity: .8; }
[class*="st-key-turn-"] button p { font-size: .8rem; }
[class*="st-key-turn-"] button:hover, [class*="st-key-turn-"] button:focus-visible { opacity: 1; }
[data-testid="stBaseButton-primary"]:enabled, [data-testid="stBaseButton-primaryFormSubmit"]:enabled {
  color: light-dark(#ffffff, #042f2e); }
[class*="st-key-announce-"], .st-key-inquisight-lead { position: absolute; width: 1px !important; overflow: hidden; }
[tabindex="-1"]:focus-visible { outline: none !important; }
.iq-dots::after { content: "…"; }
.iq-sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding-left: 1rem; padding-right: 1rem; padding-top: 3rem; }
  h1 { font-size: 1.7rem !important; }
  .iq-cards { grid-template-columns: 1fr; }
  .st-key-talk, .st-key-video-talk, .st-key-compare-results { min-height: 85vh; }  /* room to scroll them to the top */
}
@media (prefers-reduced-motion: reduce) {
  * { animation-duration: .01ms !important; transition-duration: .01ms !important; } }
</style>
"""


def apply_style() -> None:
    """Add the style sheet; call it once in each run, before anything is drawn."""
    st.html(CSS)
