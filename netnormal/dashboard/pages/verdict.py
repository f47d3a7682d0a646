"""What a reader can say of an incident: harmless or not, and not to be told of it again. All that a page writes."""

from __future__ import annotations

import datetime
import re
from functools import partial

import streamlit as st

from netnormal import feedback, suppressions, tables
from netnormal.dashboard import results, story
from netnormal.dashboard import show as _show


def buttons(data: _show.Data, one: results.Incident, hidden: str | None) -> None:
    """hidden: why the incident is suppressed, if it is."""
    _show.strong("What was it?", "verdict")
    said = data.judged.get(one.incident_id)
    if said:
        st.text(f"Judged {said}.")
    if hidden is not None:
        st.text(f"Suppressed: {hidden}")
    reason = st.text_input("Reason", key=f"reason_{one.incident_id}", placeholder="for whoever reads it in a year")
    with st.container(horizontal=True):
        for word, icon in ((feedback.BENIGN, ":material/thumb_up:"), (feedback.MALICIOUS, ":material/gpp_bad:")):
            st.button(
                word.capitalize(), key=f"judge_{word}", icon=icon, on_click=partial(_judge, data, one, word, reason),
                type="primary" if said == word else "secondary",
            )  # fmt: skip
        with st.popover("Do not tell again", key="suppress", icon=":material/notifications_off:"):
            _suppress(data, one, reason.strip())
    problem = st.session_state.pop("refused", None)
    if problem is not None:
        _show.problem(problem)


def _judge(data: _show.Data, one: results.Incident, verdict: str, reason: str) -> None:
    try:
        feedback.record(data.files.feedback, one.document, verdict, reason.strip(), data.folder)
    except tables.InputError as error:
        st.session_state["refused"] = error


def _suppress(data: _show.Data, one: results.Incident, reason: str) -> None:
    st.text("Hides incidents like this one from now on. The files keep them.")
    rules = likes(one)
    chosen = st.radio("Which", range(len(rules)), key="which", format_func=lambda i: _escaped(rules[i][0]))
    until = st.date_input("Until", value=None, key="until", min_value=datetime.date(2000, 1, 1))
    if not reason:
        st.caption("Give a reason first.")
    expires = until.isoformat() if isinstance(until, datetime.date) else ""
    st.button(
        "Hide", key="hide", disabled=not reason,
        on_click=partial(_hide, data, rules[chosen], expires, reason),
    )  # fmt: skip


def likes(one: results.Incident) -> list[tuple[str, dict[str, str]]]:
    """Rules that hide this incident and those like it: in words, and as arguments of `suppressions.add`."""
    source = {"source": _literal(one.source)}
    pattern = {"pattern": _literal(one.pattern)}
    who = story.name_of(one.source)
    made = [(f"{one.kind} by {who}", source | pattern)]
    if len(one.destinations) == 1:
        target = {"destination": _literal(one.destinations[0])}
        made.insert(0, (f"{one.kind} by {who} to {one.destinations[0]}", source | target | pattern))
    return [*made, (f"anything by {who}", source), (f"{one.kind} by anybody", pattern)]


def _literal(name: str) -> str:
    """A name as a pattern that matches only itself."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _escaped(text: str) -> str:
    """Text as Markdown that shows it as it is: the words of a choice are Markdown."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _hide(data: _show.Data, rule: tuple[str, dict[str, str]], expires: str, reason: str) -> None:
    try:
        suppressions.add(data.files.suppressions, **rule[1], expires=expires, reason=reason)
    except tables.InputError as error:
        st.session_state["refused"] = error
