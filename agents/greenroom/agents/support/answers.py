"""Whether a message says yes or no to a question of ours, in plain words (see `spelling`)."""

import re


def _any_of(text: str) -> str:
    """A regular expression for any of some phrases; `_` stands for a space within one."""
    return "(?:" + "|".join(sorted(text.replace("_", r"\s").split(), key=len, reverse=True)) + ")"


_LEAD = (
    r"^\W*(?:"
    + _any_of("oh well um please and so okay alright right great perfect fine actually sorry hmm i_mean i_meant")
    + r"\W+)*"
)

_YES = re.compile(
    _LEAD
    + _any_of(
        """
        yes sure correct confirm confirmed go_ahead do_it do_that do_so please_do proceed
        absolutely definitely of_course exactly affirmative sounds_good i_do i_am_sure i_confirm
        i_would_like_that that_is_right that_is_correct that_is_fine that_is_good that_is_okay that_works
        works_for_me go_for_it make_it_so carry_on let_us_do it_is_right it_is_correct looks_good looks_right
        looks_correct i_agree agreed please_go please_proceed please_confirm please_cancel please_refund please_change
        no_problem no_worries no_objections? not_a_problem no_doubt
        """
    )
    + r"\b|^\W*please\W*$"
)

_OKAY = re.compile(
    r"^\W*(?:"
    + _any_of("oh well um and so actually")
    + r"\W+)*"
    + _any_of("okay alright all_right right fine perfect great cool")
    + r"\b|^\W*good\W*$"
)
"""A yes where nothing else is said; else no more than a way to begin."""

_NO = re.compile(
    _LEAD
    + r"(?:yes\W+)?"
    + _any_of(
        """
        no not do_not never never_mind forget_it forget_about_it forget_that leave_it leave_that keep_it keep_the keep_my
        stop changed_my_mind i_changed_my_mind i_have_changed_my_mind rather_not i_would_rather_not i_do_not i_would_not
        i_will_not let_it_be on_second_thought scratch_that negative abort none
        """
    )
    + r"\b|\b(?:do not|never) "
    + _any_of("cancel refund change do_it do_that proceed go_ahead touch connect")
    + r"\b|\b"
    + _any_of("forget_it leave_it keep_it keep_the_order keep_my_order changed_my_mind never_mind")
    + r"\b"
)
"""Where both are heard it is a no."""

_NOT_A_NO = re.compile(_LEAD + _any_of("no_problem no_worries no_objections? not_a_problem no_doubt"))

_HEDGE = re.compile(
    r"\b"
    + _any_of("but wait first before_you before_that before_i unless if not_sure maybe later hold_on hang_on however")
    + r"\b|^\W*\w+\W*\?\W*$"
)

_RETRY = re.compile(
    r"\b(?:try|check|do)\b.{0,15}\bagain\b|^\W*(?:and |once )?again\W*$|\bretry\b|\bonce more\b|\banother try\b"
)


def answer_in(text: str) -> str:
    """Either "yes", "okay", "no" or ""."""
    if _NO.search(text) and not _NOT_A_NO.search(text):
        return "no"
    if _YES.search(text):
        return "yes"
    return "okay" if _OKAY.search(text) else ""


def is_hedged(text: str) -> bool:
    """Whether a yes has a "but" in it."""
    return bool(_HEDGE.search(text))


def asks_to_retry(text: str) -> bool:
    """Whether what failed shall be tried again."""
    return bool(_RETRY.search(text))
