"""What a reader can say of an incident: harmless or not, and not to be told of it again. All that a page writes."""

from __future__ import annotations

import datetime
import re
from functools import partial

import streamlit as st

from netnormal import answers, feedback, suppressions, tables
from netnormal.dashboard import results
from netnormal.dashboard import show as _show


def buttons(data: _show.Data, one: results.Incident, hidden: str | None) -> None:
    """hidden: why the incident is suppressed, if it is."""
    _show.strong("What was it?", "verdict")
    said = data.judged.get(one.incident_id)
    if said:
        st.text(f"Judged {said}.")
    if hidden is not None:
        st.text(f"Suppressed: {hidden}")
    reason = st.text_input("Reason", key=_reason_key(one), placeholder="for whoever reads it in a year")
    with st.container(horizontal=True):
        for word, icon in ((feedback.BENIGN, ":material/thumb_up:"), (feedback.MALICIOUS, ":material/gpp_bad:")):
            st.button(
                word.capitalize(), key=f"judge_{word}", icon=icon, on_click=partial(_judge, data, one, word),
                type="primary" if said == word else "secondary",
            )  # fmt: skip
        with st.popover("Do not tell again", key="suppress", icon=":material/notifications_off:"):
            _suppress(data, one, reason.strip())
    problem = st.session_state.pop("refused", None)
    if problem is not None:
        _show.problem(problem)


def _reason_key(one: results.Incident) -> str:
    return f"reason_{one.incident_id}"


def _judge(data: _show.Data, one: results.Incident, verdict: str) -> None:
    reason = st.session_state[_reason_key(one)].strip()  # of now: the page may be older than what was typed
    try:
        feedback.record(data.files.feedback, one.document, verdict, reason, data.folder)
    except tables.InputError as error:
        st.session_state["refused"] = error


def _suppress(data: _show.Data, one: results.Incident, reason: str) -> None:
    st.text("Hides incidents like this one from now on. The files keep them.")
    rules = likes(one)
    st.radio("Which", range(len(rules)), key="which", format_func=lambda i: _escaped(rules[i][0]))
    st.date_input("Until", value=None, key="until", min_value=datetime.date(2000, 1, 1))
    if not reason:
        st.caption("Give a reason first.")
    st.button("Hide", key="hide", disabled=not reason, on_click=partial(_hide, data, one))


def likes(one: results.Incident) -> list[tuple[str, dict[str, str]]]:
    """Rules that hide this incident and those like it: in words, and as arguments of `suppressions.add`."""
    source = {"source": _literal(one.source)}
    pattern = {"pattern": _literal(one.pattern)}
    who = answers.name_of(one.source)
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


def _hide(data: _show.Data, one: results.Incident) -> None:
    rule, until = likes(one)[st.session_state["which"]][1], st.session_state["until"]
    expires = until.isoformat() if isinstance(until, datetime.date) else ""
    try:
        suppressions.add(
            data.files.suppressions, **rule, expires=expires, reason=st.session_state[_reason_key(one)].strip()
        )
    except tables.InputError as error:
        st.session_state["refused"] = error
